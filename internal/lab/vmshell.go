package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// vmShell runs programs as root on a virtual machine, over one SSH connection.
type vmShell struct {
	mu     sync.Mutex
	client *ssh.Client
}

// session opens a session on the connection, or on a new one if that has ended.
func (h *Host) session(ctx context.Context) (*ssh.Session, error) {
	h.shell.mu.Lock()
	defer h.shell.mu.Unlock()
	if h.shell.client != nil {
		if session, err := h.shell.client.NewSession(); err == nil {
			return session, nil
		}
		_ = h.shell.client.Close()
		h.shell.client = nil
	}
	client, err := h.login(ctx)
	if err != nil {
		return nil, err
	}
	h.shell.client = client
	return client.NewSession()
}

// login logs in as root with the lab's key.
func (h *Host) login(ctx context.Context) (*ssh.Client, error) {
	pem, err := os.ReadFile(h.lab.KeyPath())
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.New(h.lab.KnownHosts())
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(h.Address, "22")
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp4", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // of the login
	c, channels, requests, err := ssh.NewClientConn(conn, address, &ssh.ClientConfig{User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: known,
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(c, channels, requests), nil
}

// logout closes the connection, if there is one.
func (h *Host) logout() {
	h.shell.mu.Lock()
	defer h.shell.mu.Unlock()
	if h.shell.client != nil {
		_ = h.shell.client.Close()
		h.shell.client = nil
	}
}

// runVM is RunInput on a virtual machine. The program runs as in a login of root.
func (h *Host) runVM(ctx context.Context, input []byte, argv ...string) ([]byte, error) {
	session, err := h.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("on host %s: %w", h.Name, err)
	}
	defer func() { _ = session.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = bytes.NewReader(input), &stdout, &stderr
	words := []string{"exec", "/usr/bin/env", "-i", "PATH=" + commandPath, "HOME=/root", "LANG=C.UTF-8", "USER=root",
		"LOGNAME=root"}
	for _, word := range argv {
		words = append(words, quoteWord(word))
	}
	if err := session.Run(strings.Join(words, " ")); err != nil {
		said := stderr.String()
		if strings.TrimSpace(said) == "" {
			said = stdout.String()
		}
		failed := &CommandError{Argv: argv, Output: lastLines(said, 12), Err: errors.Join(ctx.Err(), err)}
		return stdout.Bytes(), fmt.Errorf("on host %s: %w", h.Name, failed)
	}
	return stdout.Bytes(), nil
}

// readVM is Read on a virtual machine.
func (h *Host) readVM(name string) ([]byte, error) {
	out, err := h.runVM(context.Background(), nil, "cat", "--", name)
	var failed *CommandError
	if errors.As(err, &failed) && strings.HasSuffix(failed.Output, ": No such file or directory") {
		err = fmt.Errorf("on host %s: %w", h.Name, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist})
	}
	return out, err
}

// writeVM is Write on a virtual machine. A new file gets the label of its directory, as a file of
// an editor does.
func (h *Host) writeVM(name string, data []byte, mode os.FileMode) error {
	const script = `mkdir -p -- "$(dirname -- "$1")" && cat >"$1" && chmod -- "$2" "$1"`
	_, err := h.runVM(context.Background(), data, "sh", "-c", script, "sh", name, fmt.Sprintf("%#o", mode.Perm()))
	return err
}
