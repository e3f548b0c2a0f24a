package agent

import "testing"

// What two programs said is joined, and what one did not say leaves no trace.
func TestBothFailed(t *testing.T) {
	t.Parallel()
	install := func(said string) error { return &failure{message: "apt-get install: exit status 100", said: said} }
	update := func(said string) error { return &failure{message: "apt-get update: exit status 100", said: said} }
	const both = "apt-get install: exit status 100; before it apt-get update: exit status 100"
	for want, err := range map[string]error{
		both:                             bothFailed(install(""), update("")),
		both + ": no space":              bothFailed(install("no space"), update("")),
		both + ": before it: no network": bothFailed(install(""), update("no network")),
		both + ": no space; before it: no network":   bothFailed(install("no space"), update("no network")),
		"apt-get install: exit status 100: no space": bothFailed(install("no space"), nil),
	} {
		if got := withReason(err); got != want {
			t.Errorf("it says %q, not %q", got, want)
		}
	}
}
