package report

import (
	"fmt"
	"strconv"
	"strings"
)

// Shard is a part of a fleet: number Index of Count, from 1.
type Shard struct {
	Index, Count int
}

// ParseShard parses a shard such as "3/10".
func ParseShard(s string) (Shard, error) {
	index, count, ok := strings.Cut(s, "/")
	i, err1 := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if !ok || err1 != nil || err2 != nil || i < 1 || i > n || s != (Shard{i, n}).String() {
		return Shard{}, fmt.Errorf("invalid shard %q: write INDEX/COUNT, such as 3/10", s)
	}
	return Shard{i, n}, nil
}

func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Index, s.Count) }
