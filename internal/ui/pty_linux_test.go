package ui

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal. What is written to tty is collected, and what is typed is read from it.
type pty struct {
	tty, master *os.File
	mu          sync.Mutex
	seen        bytes.Buffer
	ended       chan struct{}
}

func openPTY(t *testing.T, width, height uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pty{tty: tty, master: master, ended: make(chan struct{})}
	go p.collect()
	t.Cleanup(func() {
		_ = p.tty.Close()
		<-p.ended // reading fails once the last descriptor of the terminal is closed
		_ = p.master.Close()
	})
	return p
}

func (p *pty) collect() {
	defer close(p.ended)
	b := make([]byte, 4096)
	for {
		n, err := p.master.Read(b)
		p.mu.Lock()
		p.seen.Write(b[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// await waits until cond holds for what was written.
func (p *pty) await(t *testing.T, what string, cond func(text string) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond(p.text()) {
			return
		}
	}
	t.Fatalf("%s did not come: %q", what, p.text())
}

func (p *pty) typeText(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(p.master, s); err != nil {
		t.Fatal(err)
	}
}
func echo(t *testing.T, p *pty) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(p.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func awaitNoEcho(t *testing.T, p *pty) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); echo(t, p); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the echo stays on")
		}
	}
}
