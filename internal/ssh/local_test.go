package ssh

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The tests here are not parallel: they change the environment.

func TestConnectLocal(t *testing.T) {
	cache, bin, b := t.TempDir(), t.TempDir(), realBundle(t)
	if _, _, err := b.Binary(t.Context(), runtime.GOARCH); err != nil { // built in the cache that is usual
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("MIRRORFORM_BECOME_PASSWORD", "canary-4471")
	for _, c := range []struct {
		name, sudo, become string
		password           string
		kind               error
		parts              []string
	}{
		{name: "as it is", become: "none"},
		{name: "sudo", become: "sudo", sudo: `env > "${0%/*}/environ"; test "$1 $2" = "-n --" || exit 9; shift 2; exec "$@"`},
		{name: "sudo asks", become: "sudo", password: "secret", sudo: `printf %s "$3" >&2; read p; test "$p" = secret || exit 9; shift 4; exec "$@"`},
		{
			name: "sudo wants a password", become: "sudo", sudo: `echo "sudo: a password is required" >&2; exit 1`,
			kind: ErrBecome, parts: []string{"host me (this machine)", "sudo asks for the password"},
		},
		{name: "sudo refuses", become: "sudo", password: "other", sudo: `printf %s "$3" >&2; read p; echo "Sorry, try again." >&2; printf %s "$3" >&2; read p; exit 1`, kind: ErrBecome, parts: []string{"refused the password"}},
		{name: "no doas", become: "doas", kind: ErrBecome, parts: []string{"doas is not installed on this machine"}},
		{name: "ends at once", become: "sudo", sudo: "echo no more processes >&2; exit 3", parts: []string{"exit status 3", "no more processes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.sudo != "" {
				if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\n"+c.sudo+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			dir := t.TempDir()
			target := Target{Name: "me", Become: c.become, rootPlaces: []rootPlace{{dir + "/state", dir + "/state/helper"}, {dir + "/opt"}}}
			if c.password != "" {
				target.BecomePassword = func() (string, error) { return c.password, nil }
			}
			environ := filepath.Join(bin, "environ")
			d := testDialer(t, Options{})
			link, err := d.ConnectLocal(t.Context(), target, b)
			if left, _ := filepath.Glob(filepath.Join(cache, "mirrorform", "helper-*")); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
			if c.parts != nil {
				wantError(t, err, c.kind, c.parts...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			beat(t, link)
			if c.name == "sudo" {
				if text := readFile(t, environ); !strings.Contains(text, "HOME=") || strings.Contains(text, "4471") {
					t.Errorf("its environment:\n%s", text)
				}
			}
			if err := link.Close(); err != nil {
				t.Fatal(err)
			}
			<-link.s.dead
			if link.p.status != 0 {
				t.Errorf("the helper ended so: %s", link.p.outcome())
			}
		})
	}
}
