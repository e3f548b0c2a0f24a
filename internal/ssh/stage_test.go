package ssh

import (
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// TestStages is told of each stage of a connection, in order, also of the one that fails.
func TestStages(t *testing.T) {
	t.Parallel()
	b := standIn(t, "")
	for name, c := range map[string]struct {
		greets bool
		want   []string
	}{
		"reached": {true, []string{"connecting", "exchanging keys", "authenticating", "starting the helper"}},
		"lost":    {false, []string{"connecting", "exchanging keys", "authenticating", "starting the helper"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var got []string
			d, target := scriptedServer(t, Options{Stage: func(host, stage string, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				if host != "web1" || took < 0 {
					t.Errorf("%s: %s took %v", host, stage, took)
				}
				got = append(got, stage)
			}}, func(s *server, _ string, ch gossh.Channel) int {
				if c.greets && greet(ch, b, nil) == nil {
					_, _ = io.Copy(io.Discard, ch)
				} else {
					s.drop()
				}
				return 0
			})
			_, err := connect(t, d, target, b)
			if (err == nil) != c.greets {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
