package simulate

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// bundle is a helper that every host has already.
type bundle struct{ digest string }

func (b bundle) ID() string                                     { return b.digest[:16] }
func (b bundle) Digest(context.Context, string) (string, error) { return b.digest, nil }
func (b bundle) Binary(context.Context, string) ([]byte, string, error) {
	return nil, "", errors.New("a simulated host wants the helper pushed")
}

// newKey writes an identity file and returns it with its public key.
func newKey(t *testing.T) (file, authorized string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := gossh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return file, string(gossh.MarshalAuthorizedKey(key))
}

// Each host speaks the protocol of a real one: the controller's own code reaches it, checks its host key, and gets answers of the helper's code. A wrong key is
// refused, on each side.
func TestServe(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"plain": 0, "delayed": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			helper := bundle{strings.Repeat("5a", 32)}
			identity, authorized := newKey(t)
			other, _ := newKey(t)
			hosts, stop, err := Serve(Options{Hosts: 3, Dir: t.TempDir(), Helper: helper.digest, AuthorizedKey: authorized, Delay: delay})
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			if len(hosts) != 3 {
				t.Fatalf("%d hosts, not 3", len(hosts))
			}
			for i, h := range hosts {
				if err := os.WriteFile(filepath.Join(h.Root, "file"), []byte(h.Name), 0o644); err != nil {
					t.Fatal(err)
				}
				target := ssh.Target{Name: h.Name, Address: h.Address, Port: h.Port, User: "root", HostKey: h.HostKey, Identities: []string{identity}}
				d := ssh.NewDialer(ssh.Options{AgentSocket: "none"})
				link, err := d.Connect(t.Context(), target, helper)
				if err != nil {
					t.Fatal(err)
				}
				session, err := engine.NewSession(link, &link.Hello)
				if err != nil {
					t.Fatal(err)
				}
				q := wire.Query{Verb: wire.AskFile, Arg: filepath.Join(h.Root, "file"), Option: "content"}
				got, err := session.Ask(t.Context(), []wire.Query{q})
				if err != nil {
					t.Fatal(err)
				}
				if f, err := got.File(q); err != nil || string(f.Content) != h.Name {
					t.Errorf("host %s has %q (%v)", h.Name, f.Content, err)
				}
				if err := session.Close(); err != nil {
					t.Error(err)
				}
				stranger := target
				stranger.Identities = []string{other}
				if _, err := d.Connect(t.Context(), stranger, helper); !errors.Is(err, ssh.ErrAuthentication) {
					t.Errorf("another key may log in: %v", err)
				}
				mistaken := target
				mistaken.HostKey = hosts[(i+1)%3].HostKey
				if _, err := d.Connect(t.Context(), mistaken, helper); !errors.Is(err, ssh.ErrHostKeyChanged) {
					t.Errorf("host %s has the key of another: %v", h.Name, err)
				}
			}
		})
	}
}

// Without Shell, no command runs but the helper.
func TestNoShell(t *testing.T) {
	t.Parallel()
	identity, authorized := newKey(t)
	for _, shell := range []bool{false, true} {
		hosts, stop, err := Serve(Options{Hosts: 1, Dir: t.TempDir(), Helper: strings.Repeat("5a", 32), AuthorizedKey: authorized, Shell: shell})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		text, err := os.ReadFile(identity)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := gossh.ParsePrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := gossh.ParseAuthorizedKey([]byte(hosts[0].HostKey))
		if err != nil {
			t.Fatal(err)
		}
		client, err := gossh.Dial("tcp", hosts[0].address(), &gossh.ClientConfig{
			User: "root", Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}, HostKeyCallback: gossh.FixedHostKey(key),
		})
		if err != nil {
			t.Fatal(err)
		}
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		out, err := session.Output("echo here; exit 3")
		var status *gossh.ExitError
		if !errors.As(err, &status) {
			t.Fatalf("no exit status: %v", err)
		}
		if want := map[bool]int{false: 127, true: 3}[shell]; status.ExitStatus() != want || (string(out) == "here\n") != shell {
			t.Errorf("with Shell %v: status %d, output %q", shell, status.ExitStatus(), out)
		}
		_ = client.Close()
	}
}
