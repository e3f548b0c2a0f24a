package ssh

import (
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// BenchmarkConnect measures reaching ten hosts at once: "Connect" up to the helper's greeting, and "ssh", for comparison,
// ten parallel runs of the OpenSSH client with the command true.
func BenchmarkConnect(b *testing.B) {
	hosts := labtest.Hosts(b, 10)
	l := labtest.Lab(b)
	helper := realBundle(b)
	connect := func(b *testing.B) {
		d := NewDialer(Options{KnownHostsFiles: []string{l.KnownHosts()}, AgentSocket: "none"})
		var g errgroup.Group
		for _, h := range hosts {
			g.Go(func() error {
				link, err := d.Connect(b.Context(), Target{
					Name: h.Name, Address: h.Address, User: "admin", Identities: []string{l.KeyPath()}, Become: "sudo",
				}, helper)
				if err != nil {
					return err
				}
				return link.Close()
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	connect(b) // pushes the helper
	b.Run("Connect", func(b *testing.B) {
		for b.Loop() {
			connect(b)
			settle(b)
		}
	})
	b.Run("ssh", func(b *testing.B) {
		for b.Loop() {
			var g errgroup.Group
			for _, h := range hosts {
				argv := l.SSHCommand(h, "admin", "true")
				g.Go(func() error { return exec.Command(argv[0], argv[1:]...).Run() })
			}
			if err := g.Wait(); err != nil {
				b.Fatal(err)
			}
			settle(b)
		}
	})
}

// settle leaves the hosts the time to end their sessions, which would otherwise be part of the next measurement.
func settle(b *testing.B) {
	b.StopTimer()
	time.Sleep(700 * time.Millisecond)
	b.StartTimer()
}
