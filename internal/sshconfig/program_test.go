package sshconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrograms: a command gets only values that no shell interprets, runs once, and only for the
// hosts that its line is for.
func TestPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	file := filepath.Join(dir, "config")
	text := "Match host db exec \"echo db >>" + ran + "\"\n  Port 5\n" +
		"Match exec \"echo x >>" + ran + "\"\n  Port 2222\n" +
		"Match exec \"exit 1\" exec \"echo never >>" + ran + "\"\n  Port 3333\n" +
		"Host web*\n  ProxyCommand nc '%h' %p # %n %r 100%%\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(file, true)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := c.For("web1", Given{User: "alice"})
		if err != nil || s.Port != 2222 || s.ProxyCommand != "nc 'web1' 2222 # web1 alice 100%" || s.ProxyPlace != file+":8" {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	if got, err := os.ReadFile(ran); err != nil || string(got) != "x\n" {
		t.Errorf("ran %q, %v", got, err)
	}
	for _, given := range []Given{{User: "$(id)"}, {User: "-oProxyCommand=x"}, {User: "a b"}, {User: "a;b"}, {User: "`x`"}, {User: "a'b"}} {
		if s, err := c.For("web1", given); err == nil || !strings.Contains(err.Error(), file+":8: ProxyCommand, which applies to web1: the token %r") {
			t.Errorf("%+v gives %+v, %v", given, s, err)
		}
	}
	if s, err := c.For("web$(id)", Given{User: "a"}); err == nil || !strings.Contains(err.Error(), "the token %h") {
		t.Errorf("%+v, %v", s, err)
	}
	if none, err := Open(file, false); err != nil {
		t.Fatal(err)
	} else if s, err := none.For("web1", Given{Port: 1}); err == nil || !strings.Contains(err.Error(), "--confine") {
		t.Errorf("without programs: %+v, %v", s, err)
	}
}
