package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// emulator describes a run of qemu. The devices and their order are those of the snapshot.
type emulator struct {
	recipe  *vmRecipe
	image   string // directory of the image, with the kernel and the initramfs
	name    string // of the process
	sockets string // path of the sockets, without ".qmp" and ".identity"
	console string // log of the serial console
	// disk and format are the disk of the system, and disks the files of others.
	disk, format string
	disks        []string
	tap, mac     string // "" for an interface without a network
	memory       vmMemory
	state        bool // load the snapshot's state from file descriptor 3, and stop there
}

// vmMemory says what the memory of a virtual machine is.
type vmMemory int

const (
	ownMemory     vmMemory = iota // empty
	writtenMemory                 // the image's file, which gets what is written to it
	copiedMemory                  // the image's file, copied page by page when they are written to
)

// argv returns the command line. No value has a comma, which would separate options.
func (e *emulator) argv() []string {
	netdev, mac := "hubport,id=net,hubid=0", ""
	if e.tap != "" {
		netdev, mac = "tap,id=net,script=no,downscript=no,ifname="+e.tap, ",mac="+e.mac
	}
	memory := "memory-backend-ram"
	if e.memory != ownMemory {
		memory = "memory-backend-file,share=off,mem-path=" + e.image + "/" + vmMemoryFile
	}
	if e.memory == writtenMemory {
		memory = strings.Replace(memory, "share=off", "share=on", 1)
	}
	argv := append([]string{"qemu-system-x86_64", "-name", e.name}, e.recipe.Options...)
	argv = append(argv, "-object", memory+",id=ram,size=1024M",
		"-kernel", e.image+"/vmlinuz", "-initrd", e.image+"/initrd", "-append", e.recipe.Append,
		"-chardev", "file,id=console,append=on,path="+e.console, "-serial", "chardev:console",
		"-chardev", "socket,id=qmp,server=on,wait=off,path="+e.sockets+".qmp", "-mon", "chardev=qmp,mode=control",
		"-chardev", "socket,id=identity,server=on,wait=off,path="+e.sockets+".identity",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=identity,name=mirrorform-lab",
		"-device", "virtio-rng-pci", "-device", "vmgenid,guid=auto",
		"-netdev", netdev, "-device", "virtio-net-pci,netdev=net,romfile="+mac,
		"-drive", "if=none,id=root,cache=unsafe,discard=unmap,format="+e.format+",file="+e.disk,
		"-device", "virtio-blk-pci,drive=root")
	for i, disk := range e.disks {
		argv = append(argv,
			"-drive", fmt.Sprintf("if=none,id=disk%d,cache=unsafe,discard=unmap,format=raw,file=%s", i, disk), "-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d,serial=disk%d", i, i))
	}
	if e.state {
		argv = append(argv, "-S", "-incoming", "defer")
	}
	return argv
}

// monitor is a connection to qemu's control socket (QMP).
type monitor struct {
	conn  net.Conn
	lines *bufio.Scanner
}

// dialSocket connects to a socket of a qemu that is starting. ended is closed when it has ended.
func dialSocket(ctx context.Context, path string, ended <-chan struct{}) (net.Conn, error) {
	var conn net.Conn
	err := poll(ctx, time.Minute, func() (bool, error) {
		select {
		case <-ended:
			return false, errors.New("qemu has ended")
		default:
		}
		var err error
		conn, err = net.Dial("unix", path)
		return err == nil, nil
	})
	return conn, err
}

// openMonitor connects to the control socket, whose first line is a greeting.
func openMonitor(ctx context.Context, path string, ended <-chan struct{}) (*monitor, error) {
	conn, err := dialSocket(ctx, path, ended)
	if err != nil {
		return nil, fmt.Errorf("connecting to qemu: %w", err)
	}
	m := &monitor{conn: conn, lines: bufio.NewScanner(conn)}
	if err = m.run("qmp_capabilities", nil, nil); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) close() { _ = m.conn.Close() }

// run runs a command and decodes what it returns into result, unless that is nil.
func (m *monitor) run(command string, arguments map[string]any, result any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	data, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := m.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	if _, err := m.conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("qemu %s: %w", command, err)
	}
	for m.lines.Scan() {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(m.lines.Bytes(), &answer); err != nil {
			return fmt.Errorf("qemu %s: %w", command, err)
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("qemu %s: %s", command, answer.Error.Desc)
		case answer.Return != nil && result != nil:
			return json.Unmarshal(answer.Return, result)
		case answer.Return != nil:
			return nil
		}
		// The greeting, or an event.
	}
	return fmt.Errorf("qemu %s: it has ended: %w", command, errors.Join(m.lines.Err(), net.ErrClosed))
}

// migrated waits until the state was saved or loaded.
func (m *monitor) migrated(ctx context.Context) error {
	return poll(ctx, time.Minute, func() (bool, error) {
		var state struct {
			Status string `json:"status"`
			Desc   string `json:"error-desc"`
		}
		if err := m.run("query-migrate", nil, &state); err != nil {
			return false, err
		}
		if state.Status == "failed" {
			return false, fmt.Errorf("qemu cannot move its state: %s", state.Desc)
		}
		return state.Status == "completed", nil
	})
}

// withoutMemory keeps the memory, which is a file of the image, out of the state. Otherwise each
// host would read and keep a copy of it.
func (m *monitor) withoutMemory() error {
	return m.run("migrate-set-capabilities", map[string]any{"capabilities": []any{
		map[string]any{"capability": "x-ignore-shared", "state": true}}}, nil)
}

// load loads the state from file descriptor 3.
func (m *monitor) load(ctx context.Context) error {
	if err := m.withoutMemory(); err != nil {
		return err
	}
	if err := m.run("migrate-incoming", map[string]any{"uri": "fd:3"}, nil); err != nil {
		return err
	}
	return m.migrated(ctx)
}

// save stops the machine and writes its state to file, whose path has no special characters.
func (m *monitor) save(ctx context.Context, file string) error {
	if err := m.withoutMemory(); err != nil {
		return err
	}
	if err := m.run("stop", nil, nil); err != nil {
		return err
	}
	arguments := map[string]any{"uri": "exec:cat >" + quoteWord(file)}
	if err := m.run("migrate", arguments, nil); err != nil {
		return err
	}
	if err := m.migrated(ctx); err != nil {
		return err
	}
	return m.run("quit", nil, nil)
}

// plug adds a disk to the running machine.
func (m *monitor) plug(number int, file string) error {
	id := fmt.Sprintf("disk%d", number)
	err := m.run("blockdev-add", map[string]any{"node-name": id, "driver": "raw", "discard": "unmap",
		"cache": map[string]any{"direct": false, "no-flush": true},
		"file":  map[string]any{"driver": "file", "filename": file}}, nil)
	if err != nil {
		return err
	}
	return m.run("device_add", map[string]any{"driver": "virtio-blk-pci", "drive": id, "id": id, "serial": id}, nil)
}

// identityPort is a connection to the program in the virtual machine that gives it its identity
// (vmtree/identity).
type identityPort struct {
	conn  net.Conn
	lines *bufio.Scanner
}

func openIdentity(ctx context.Context, path string, ended <-chan struct{}) (*identityPort, error) {
	conn, err := dialSocket(ctx, path, ended)
	if err != nil {
		return nil, fmt.Errorf("connecting to the virtual machine: %w", err)
	}
	return &identityPort{conn, bufio.NewScanner(conn)}, nil
}

func (p *identityPort) close() { _ = p.conn.Close() }

// expect waits for a line.
func (p *identityPort) expect(ctx context.Context, want string, limit time.Duration) error {
	if err := p.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if !p.lines.Scan() {
		err := p.lines.Err()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w after %s", errTimeout, limit)
		}
		return fmt.Errorf("waiting for %q of the virtual machine: %w", want, errors.Join(ctx.Err(), err))
	}
	if got := strings.TrimSpace(p.lines.Text()); got != want {
		return fmt.Errorf("the virtual machine answers %q instead of %q", got, want)
	}
	return nil
}

// send has the virtual machine run the script.
func (p *identityPort) send(ctx context.Context, script string) error {
	if _, err := fmt.Fprintf(p.conn, "%d\n%s", len(script), script); err != nil {
		return fmt.Errorf("sending the identity of the virtual machine: %w", err)
	}
	return p.expect(ctx, "status 0", vmBootLimit)
}
