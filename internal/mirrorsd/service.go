package mirrorsd

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Service holds what the rules need to know of upstream's service: some of the keys
// of config.yml in github.com/AlmaLinux/mirrors, which package upstream reads.
type Service struct {
	AllowedOutdate    time.Duration // allowed_outdate: how old a tree may be before its mirror leaves the list; positive
	RequiredProtocols []string      // required_protocols: keys of address of which one is required, and the service takes the first that there is
}

// DefaultService returns the facts of upstream's config.yml as they were when this was written.
func DefaultService() Service {
	return Service{AllowedOutdate: 12 * time.Hour, RequiredProtocols: []string{"http", "https"}}
}

// units are those that durations are written with in upstream's files.
var units = map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

var durationForm = regexp.MustCompile(`^([1-9][0-9]{0,3})([mhd])$`)

// ParseDuration reads a duration as upstream's files write it: a number above zero and m, h or d.
func ParseDuration(s string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s is not a duration; write a number and m, h or d, such as 12h", show(s))
	}
	n, _ := strconv.Atoi(m[1]) // at most four digits
	return time.Duration(n) * units[m[2]], nil
}

// duration writes a duration as upstream's files do.
func duration(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
