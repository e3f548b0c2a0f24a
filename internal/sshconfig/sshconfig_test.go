package sshconfig

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// ask writes a configuration and asks it about host web1.
func ask(t testing.TB, text string, given Given) (*Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(file, false)
	if err != nil {
		t.Fatal(err)
	}
	return c.For("web1", given)
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		given Given
		parts []string // of the error; nil: none
	}{
		"proxy command":                {text: "\nHost web*\n  ProxyCommand nc %h %p\n", parts: []string{"config:3: ProxyCommand, which applies to web1", "use ProxyJump"}},
		"of another host":              {text: "Host db\n  ProxyCommand nc %h %p\n"},
		"a jump before it":             {text: "ProxyJump gate\nProxyCommand nc %h %p\n"},
		"said elsewhere":               {text: "ProxyCommand nc %h %p\n", given: Given{Jump: true}},
		"none":                         {text: "ProxyCommand none\nProxyCommand nc %h %p\n"},
		"exec":                         {text: "Match exec \"true\"\n  User x\n", parts: []string{"config:2: User: it is unknown whether it applies to web1", "Match exec at ", "config:1"}},
		"exec of another host":         {text: "Match host db exec true\n  User x\n"},
		"exec, then another host":      {text: "Match exec true host db\n  User x\n"},
		"exec, user given":             {text: "Match exec true\n  User x\n  Port 1\n", given: Given{User: "y", Port: 2}},
		"exec without effect":          {text: "Match host * exec \"gpg-connect-agent updatestartuptty /bye\"\n  ForwardAgent yes\n  ProxyCommand none\n"},
		"exec, set before":             {text: "User y\nMatch exec true\n  User x\n"},
		"final":                        {text: "Match final all\n  HostName x\n", parts: []string{"config:2: HostName", "Match final"}},
		"not final":                    {text: "Match !final\n  HostName x\n", parts: []string{"config:2: HostName", "Match final"}},
		"include in undecided":         {text: "Match exec true\nInclude other\nHost *\n User x\n", parts: nil},
		"no criterion":                 {text: "Match what web1\n", parts: []string{`config:1: unknown Match criterion "what"`}},
		"canonical":                    {text: "CanonicalizeHostname yes\n", parts: []string{"config:1: CanonicalizeHostname", "write host names in full"}},
		"not canonical":                {text: "CanonicalizeHostname no\nCanonicalizeHostname yes\n"},
		"known hosts command":          {text: "KnownHostsCommand /bin/x\n", parts: []string{"config:1: KnownHostsCommand"}},
		"revoked":                      {text: "RevokedHostKeys /x\n", parts: []string{"@revoked"}},
		"bind":                         {text: "BindAddress 10.0.0.1\n", parts: []string{"BindAddress"}},
		"provider":                     {text: "PKCS11Provider /x.so\n", parts: []string{"ssh-add -s"}},
		"no keys":                      {text: "PubkeyAuthentication no\n", parts: []string{"PubkeyAuthentication"}},
		"only passwords":               {text: "\nPreferredAuthentications password,keyboard-interactive\n", parts: []string{"config:2: PreferredAuthentications"}},
		"keys and passwords":           {text: "PreferredAuthentications password,publickey\n"},
		"port":                         {text: "Host db\nPort seven-and-a-half\n", parts: []string{"config:2: Port", `invalid port "seven-and-a-half"`}},
		"quote":                        {text: "User \"x\n", parts: []string{"config:1: ", "quotation mark"}},
		"no argument":                  {text: "User\n", parts: []string{"config:1: User has no argument"}},
		"token":                        {text: "IdentityFile /k/%C\n", parts: []string{"config:1: IdentityFile /k/%C: the token %C"}},
		"variable":                     {text: "CertificateFile ${MIRRORFORM_NO_SUCH}/x\n", parts: []string{`the environment has no variable "MIRRORFORM_NO_SUCH"`}},
		"somebody's home":              {text: "IdentityFile ~bob/x\n", parts: []string{"~bob/x: home directories of other users"}},
		"what is unknown":              {text: "UseKeychain yes\nNoSuchThing x\n"},
		"include with a token":         {text: "Include %h.conf\n", parts: []string{"config:1: cannot include %h.conf"}},
		"include of somebody's":        {text: "Include ~bob/x\n", parts: []string{"config:1: cannot include ~bob/x"}},
		"include of what is not there": {text: "Include /no/such/file\n"},
		"jump that is no host":         {text: "ProxyJump -oProxyCommand=x\n", parts: []string{"config:1: ProxyJump"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ask(t, c.text, c.given)
			if (err != nil) != (c.parts != nil) {
				t.Fatal(err)
			}
			for _, part := range c.parts {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not contain %q: %v", part, err)
				}
			}
		})
	}
}

func TestTokens(t *testing.T) {
	t.Setenv("MIRRORFORM_TEST_KEYS", "/keys")
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ask(t, `
HostName %h.Example.org
User alice
Port 2222
HostKeyAlias Alias
IdentityFile ~/.ssh/%r@%h:%p
IdentityFile %d/%u-%i-%k-%n-100%%
IdentityFile ${MIRRORFORM_TEST_KEYS}/x
UserKnownHostsFile ~/.ssh/known_%k none
CertificateFile none
IdentityAgent $MIRRORFORM_TEST_KEYS
`, Given{})
	if err == nil {
		t.Fatal("none among others was not refused")
	}
	s, err := ask(t, `
HostName %h.Example.org
User alice
Port 2222
HostKeyAlias Alias
IdentityFile ~/.ssh/%r@%h:%p
IdentityFile %d/%u-%i-%k-%n-100%%
IdentityFile ${MIRRORFORM_TEST_KEYS}/x
UserKnownHostsFile ~/.ssh/known_%k
GlobalKnownHostsFile none
CertificateFile none
IdentityAgent $MIRRORFORM_TEST_KEYS
`, Given{})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(s.HostName, s.IdentityFiles, s.UserKnownHostsFiles, s.GlobalKnownHostsFile, s.CertificateFiles, s.IdentityAgent)
	want := fmt.Sprint("web1.example.org", []string{home + "/.ssh/alice@web1.example.org:2222", home + "/" + self.Username + "-" + self.Uid + "-alias-web1-100%", "/keys/x"},
		[]string{home + "/.ssh/known_alias"}, []string{os.DevNull}, []string(nil), "/keys")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUsersFile: what the user's own directory holds, its permissions, and the loop of a file that includes itself.
func TestUsersFile(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	query := func() (*Settings, error) {
		t.Helper()
		c, err := Open("", false)
		if err != nil {
			t.Fatal(err)
		}
		return c.For("web1", Given{})
	}
	if s, err := query(); err != nil || s.HostName != "web1" {
		t.Errorf("without a file: %+v, %v", s, err)
	}
	write("config", "Host db\nInclude conf.d/1\nHost web1\nInclude conf.d/* ~/.ssh/more\n", 0o600)
	write("conf.d/1", "User one\n", 0o644)
	write("conf.d/2", "User two\nPort 22\nHost db\nPort 33\n", 0o600)
	write("more", "HostName real\n", 0o600)
	if s, err := query(); err != nil || s.User != "one" || s.Port != 22 || s.HostName != "real" {
		t.Errorf("%+v, %v", s, err)
	}
	write("conf.d/2", "User two\n", 0o666)
	if _, err := query(); err == nil ||
		!strings.Contains(err.Error(), "conf.d/2: it belongs to another user, or other users can write it") {
		t.Error(err)
	}
	write("conf.d/2", "Include config config config\n", 0o600)
	if _, err := query(); err == nil || !strings.Contains(err.Error(), "check that no file includes itself") || strings.Count(err.Error(), "/.ssh/") != 2 {
		t.Error(err)
	}
	write("config", "User x\n", 0o602)
	if _, err := query(); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Error(err)
	}
	c, err := Open(filepath.Join(home, "nothing"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.For("web1", Given{}); err == nil || !strings.Contains(err.Error(), "nothing: no such file") {
		t.Error(err)
	}
}

func TestWildcard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"?", "", false}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbY", false}, {"**", "abc", true},
		{"*ab", "aab", true}, {"?b*", "ab", true}, {"a?c", "ac", false}, {"[ab]", "a", false}, {"*.example.org", "example.org", false},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 4000), false}, // in no time
	} {
		if got := wildcard(c.pattern, c.text); got != c.want {
			t.Errorf("wildcard(%q, %q) = %t", c.pattern, c.text, got)
		}
	}
}
