package ssh

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// asking is a client that only sends requests.
type asking struct {
	gossh.Conn
	ask func()
}

// SendRequest implements gossh.Conn.
func (a asking) SendRequest(string, bool, []byte) (bool, []byte, error) {
	a.ask()
	return false, nil, nil
}

// TestIdle has an hour in which the host only answers keepalives, and then one that does not.
func TestIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := watch(here)
		var asked atomic.Int32
		var mute atomic.Bool
		client := asking{ask: func() {
			asked.Add(1)
			if !mute.Load() {
				_, _ = there.Write([]byte("a refusal"))
			}
		}}
		ended, done := make(chan struct{}), make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, c)
			close(ended)
		}()
		go c.keepAlive(client, 10*time.Second, 30*time.Second, done)
		time.Sleep(time.Hour) // of the bubble's clock
		if err := c.lost(); err != nil || asked.Load() < 100 {
			t.Errorf("an idle connection ended after %d keepalives: %v", asked.Load(), err)
		}
		mute.Store(true)
		<-ended
		if err := c.lost(); err == nil || !strings.Contains(err.Error(), "connection lost: no data from the host for 30s") {
			t.Errorf("a silent connection: %v", err)
		}
		close(done)
	})
}
