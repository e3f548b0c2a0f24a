package cli

import (
	"slices"
	"testing"
)

func TestLabCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want []string }{
		{nil, nil},
		{[]string{"--"}, []string{}},
		{[]string{"journalctl | tail"}, []string{"sh", "-c", "journalctl | tail"}},
		{[]string{"sudo", "sh", "-c", "cd /etc; ls -a"}, []string{"sudo", "sh", "-c", "cd /etc; ls -a"}},
		{[]string{"--", "ls", "--", "-a"}, []string{"ls", "--", "-a"}},
	} {
		if got := labCommand(c.args); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
}
