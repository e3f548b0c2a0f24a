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

// shell runs programs as root on a virtual machine, over one SSH connection.
type shell struct {
	mu     sync.Mutex
	client *ssh.Client
}

// session opens a session on the connection, or on a new one if that has ended.
func (v *virtual) session(ctx context.Context) (*ssh.Session, error) {
	v.shell.mu.Lock()
	defer v.shell.mu.Unlock()
	if v.shell.client != nil {
		if session, err := v.shell.client.NewSession(); err == nil {
			return session, nil
		}
		_ = v.shell.client.Close()
		v.shell.client = nil
	}
	client, err := v.login(ctx)
	if err != nil {
		return nil, err
	}
	v.shell.client = client
	return client.NewSession()
}

// loginLimit bounds a login, which takes half a minute on a busy machine.
const loginLimit = 2 * time.Minute

// bootIDCommand prints the ID of the boot.
var bootIDCommand = []string{"cat", "/proc/sys/kernel/random/boot_id"}

// enter logs in for the next programs, unless the boot's ID is old: then the host is shutting down.
// It sends sshd no more connections than it needs, since each of them is work for a slow processor.
func (v *virtual) enter(ctx context.Context, old string) error {
	client, err := v.login(ctx)
	if err != nil {
		return err
	}
	// A host that ends does not end its connections.
	watch := time.AfterFunc(loginLimit, func() { _ = client.Close() })
	defer watch.Stop()
	if old != "" {
		err = leftBoot(client, old)
	}
	if err != nil {
		_ = client.Close()
		return err
	}
	v.shell.mu.Lock()
	defer v.shell.mu.Unlock()
	v.shell.client = client
	return nil
}

// leftBoot returns an error if the boot's ID is old.
func leftBoot(client *ssh.Client, old string) error {
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer func() { _ = session.Close() }()
	now, err := session.Output(strings.Join(bootIDCommand, " "))
	if err == nil && string(now) == old {
		err = errors.New("the host has not ended yet")
	}
	return err
}

// login logs in as root with the lab's key.
func (v *virtual) login(ctx context.Context) (*ssh.Client, error) {
	pem, err := os.ReadFile(v.lab.KeyPath())
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.New(v.lab.KnownHosts())
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(v.Address, "22")
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp4", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(loginLimit))
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
func (v *virtual) logout() {
	v.shell.mu.Lock()
	defer v.shell.mu.Unlock()
	if v.shell.client != nil {
		_ = v.shell.client.Close()
		v.shell.client = nil
	}
}

// run is RunInput on a virtual machine. The program runs as in a login of root.
func (v *virtual) run(ctx context.Context, input []byte, argv ...string) ([]byte, error) {
	session, err := v.session(ctx)
	if err != nil {
		return nil, fmt.Errorf("on host %s: %w", v.Name, err)
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
		return stdout.Bytes(), fmt.Errorf("on host %s: %w", v.Name, failed)
	}
	return stdout.Bytes(), nil
}

// read is Read on a virtual machine.
func (v *virtual) read(name string) ([]byte, error) {
	out, err := v.run(context.Background(), nil, "cat", "--", name)
	var failed *CommandError
	if errors.As(err, &failed) && strings.HasSuffix(failed.Output, ": No such file or directory") {
		err = fmt.Errorf("on host %s: %w", v.Name, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist})
	}
	return out, err
}

// write is Write on a virtual machine. A new file gets the label of its directory, as a file of
// an editor does.
func (v *virtual) write(name string, data []byte, mode os.FileMode) error {
	const script = `mkdir -p -- "$(dirname -- "$1")" && cat >"$1" && chmod -- "$2" "$1"`
	_, err := v.run(context.Background(), data, "sh", "-c", script, "sh", name, fmt.Sprintf("%#o", mode.Perm()))
	return err
}
