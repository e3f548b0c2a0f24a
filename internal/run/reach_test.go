package run

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/ssh"
)

// TestReach: what a host block says wins over ssh_config, and each hop has what is said about it.
func TestReach(t *testing.T) {
	t.Parallel()
	const text = `
Host behind
  HostName 10.0.0.9
  ProxyJump outer:2200,carol@inner
Host lonely
  ProxyJump inner
Host inner
  HostKeyAlias inner-key
  ProxyJump gate
Host outer
  HostName outer.example.org
Host ring1
  ProxyJump ring2
Host ring2
  ProxyJump ring1
Host bare
  IdentityFile none
  UserKnownHostsFile none
  ConnectTimeout 7
Host *
  User dave
  Port 22000
  IdentityFile /keys/%r
  GlobalKnownHostsFile /kh/global
  ConnectTimeout 9
  ServerAliveInterval 4
`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bastion := &config.DeclaredHost{Name: "bastion", Address: "outer", User: "bob"}
	hosts := []*config.DeclaredHost{
		{Name: "a", Address: "behind"},
		{Name: "b", Address: "behind", User: "erin", Port: 22, Identities: []string{"/mine"}, ConnectTimeout: time.Minute, HostKey: []string{"k1", "k2"}, Jump: bastion},
		{Name: "c", Address: "lonely"},
		{Name: "d", Address: "ring1"},
		{Name: "e", Address: "bare"},
	}
	r := newReach(hostsByName(hosts), file, false)
	path := func(t *ssh.Target) string {
		var hops []string
		for ; t != nil; t = t.Jump {
			hops = append(hops, fmt.Sprintf("%s=%s@%s:%d", t.Name, t.User, t.Address, t.Port))
		}
		return strings.Join(hops, " ")
	}
	for name, want := range map[string]string{
		"a": "a=dave@10.0.0.9:22000 inner=carol@inner:22000 outer=dave@outer.example.org:2200",
		"b": "b=erin@10.0.0.9:22 bastion=bob@outer.example.org:22000",
		"c": "c=dave@lonely:22000 inner=dave@inner:22000 gate=dave@gate:22000",
		"e": "e=dave@bare:22000",
	} {
		target, err := r.target(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := path(target); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
		if login, _, _ := strings.Cut(strings.TrimPrefix(want, name+"="), "@"); r.Login(name) != login {
			t.Errorf("%s: login %s", name, r.Login(name))
		}
	}
	is := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, not %v", what, got, want)
		}
	}
	target, _ := r.target("a")
	is("a's key", target.Identities, []string{"/keys/dave"})
	is("a's hop's key", target.Jump.Identities, []string{"/keys/carol"})
	is("a's hop's alias", target.Jump.HostKeyAlias, "inner-key")
	is("a's known hosts", target.KnownHostsFiles, append(ssh.UserKnownHosts(), "/kh/global"))
	is("a's keepalive", []time.Duration{target.Keepalive, target.Silence, target.ConnectTimeout}, []time.Duration{4 * time.Second, 12 * time.Second, 9 * time.Second})
	target, _ = r.target("b")
	is("b's key", target.Identities, []string{"/mine"})
	is("b's host key", target.HostKey, "k1\nk2")
	is("b's time-out", target.ConnectTimeout, time.Minute)
	target, _ = r.target("e")
	is("e's keys", target.Identities, []string{"/keys/dave"}) // none takes back nothing that follows: ssh_config(5)
	is("e's known hosts", target.KnownHostsFiles, []string{os.DevNull, "/kh/global"})
	if _, err := r.target("d"); err == nil || !strings.Contains(err.Error(), "host d: jump host ring2: ") || !strings.Contains(err.Error(), "in a cycle") {
		t.Error(err)
	}

	none := newReach(hostsByName(hosts), "none", false)
	target, err := none.target("a")
	if err != nil || path(target) != "a=@behind:0" || target.Identities != nil {
		t.Errorf("without ssh_config: %+v, %v", target, err)
	}
}

// TestReachByOpenSSH: ssh itself finds the same way, and is used where the native reader lacks
// something.
func TestReachByOpenSSH(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip(err)
	}
	const text = `
Host behind
  HostName 10.0.0.9
  ProxyJump outer:2200,carol@inner
Host odd
  BindAddress 127.0.0.1
  HostName 10.0.0.7
Host *
  User dave
  Port 22000
  ServerAliveInterval 4
`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bastion := &config.DeclaredHost{Name: "bastion", Address: "outer", User: "bob"}
	hosts := hostsByName([]*config.DeclaredHost{
		{Name: "a", Address: "behind", OpenSSH: true},
		{Name: "b", Address: "behind", User: "erin", Port: 22, Jump: bastion, OpenSSH: true},
		{Name: "c", Address: "odd"},
		{Name: "d", Address: "odd", OpenSSH: true, User: `realm\erin`},
	})
	r := newReach(hosts, file, false)
	var notes []string
	r.note = func(host, why string) { notes = append(notes, host+": "+why) }
	for name, want := range map[string]string{
		"a": "dave@10.0.0.9:22000 carol@inner:22000 dave@outer:2200",
		"b": "erin@10.0.0.9:22 bob@outer:22000",
		"c": "dave@10.0.0.7:22000",
	} {
		target, err := r.target(name)
		if err != nil {
			t.Fatal(err)
		}
		if !target.ByOpenSSH || target.Keepalive != 4*time.Second || target.OpenSSH.ConfigFile != file {
			t.Errorf("%s: %+v", name, target)
		}
		var hops []string
		for ; target != nil; target = target.Jump {
			hops = append(hops, fmt.Sprintf("%s@%s:%d", target.User, target.Address, target.Port))
		}
		if got := strings.Join(hops, " "); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
	if len(notes) != 1 || !strings.HasPrefix(notes[0], "c: ssh_config has BindAddress") {
		t.Errorf("%q", notes)
	}
	if _, err := r.target("d"); err == nil || !strings.Contains(err.Error(), "set it as User in ssh_config") {
		t.Error(err)
	}
	confined := newReach(hosts, file, true)
	for name, want := range map[string]string{"a": "--confine", "c": "config:6: BindAddress"} {
		if _, err := confined.target(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
