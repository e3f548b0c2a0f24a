package sshconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzConfig: no file makes it panic or run on; what it says about a host is fit to be used.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"Host web1\nHostName x\nUser \"a b\"\n", "Match host web1 exec true\nPort 2\n", "ProxyJump ssh://a@b:1,[::1]:2\n", "\"User\" x # y\r\n", "Include /dev/null\n",
		"IdentityFile ~/.ssh/%r ${HOME}\n", "ConnectTimeout 1m30s\nServerAliveInterval 99999999999w\n", "Match !user x* localuser ?\nUser=\n", "Host !*\\\n", "host='",
	} {
		f.Add(text, "web1")
	}
	f.Fuzz(func(t *testing.T, text, host string) {
		if strings.Contains(strings.ToLower(text), "include") { // the files of this machine are no input
			return
		}
		file := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Open(file, false)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.For(host, Given{})
		if err != nil {
			return
		}
		if s.Port < 0 || s.Port > 65535 || s.ConnectTimeout < 0 || s.ServerAliveInterval < 0 || s.ServerAliveCountMax < 0 {
			t.Errorf("%+v", s)
		}
		for _, hop := range s.Jump {
			if hop.Host == "" || hop.Host[0] == '-' {
				t.Errorf("%+v", hop)
			}
		}
	})
}
