package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// runRoot has one directory per lab, with its state, keys and logs.
const runRoot = "/run/mirrorform-lab"

// stateFile is the name of the state file in a lab's run directory.
const stateFile = "lab.json"

// process identifies a process permanently. The kernel reuses process IDs, but processes with the
// same ID have different start times.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks after boot (proc_pid_stat(5), field 22)
}

// state is the state of a lab in its run directory.
type state struct {
	Name       string               `json:"name"`
	BootID     string               `json:"boot_id"` // of the machine, since a reboot ends every lab
	Owner      process              `json:"owner"`
	Persistent bool                 `json:"persistent"`
	Bridge     string               `json:"bridge"`
	Network    string               `json:"network"`            // "10.213.7", the first three bytes
	Network6   string               `json:"network6,omitempty"` // its IPv6 prefix, or ""
	Cache      string               `json:"cache"`              // the directory of base trees
	Base       string               `json:"base"`
	Data       string               `json:"data"` // overlay directories and disks
	Hosts      map[string]hostState `json:"hosts"`
	Upstream   *upstreamState       `json:"upstream,omitempty"`
}

type hostState struct {
	Index   int     `json:"index"` // the last byte of the address, see state.address
	Machine string  `json:"machine"`
	OS      OS      `json:"os,omitempty"`
	VM      bool    `json:"vm,omitempty"`
	Image   string  `json:"image,omitempty"` // the directory of a virtual machine's image
	Disks   []Disk  `json:"disks"`
	Keeper  process `json:"keeper"` // starts systemd-nspawn, and again at each reboot; or qemu
}

type upstreamState struct {
	Process process `json:"process"`
	Address string  `json:"address"`
	Dir     string  `json:"dir"`
}

// address returns the IPv4 address with the given last byte.
func (s *state) address(index int) string { return fmt.Sprintf("%s.%d", s.Network, index) }

// address6 returns the IPv6 address that ends with the digits of address(index), or "" in a lab
// without IPv6.
func (s *state) address6(index int) string {
	if s.Network6 == "" {
		return ""
	}
	return fmt.Sprintf("%s::%d", s.Network6, index)
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the machine's boot ID: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// findProcess returns the running process with the given ID.
func findProcess(pid int) (process, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, fmt.Errorf("finding process %d: %w", pid, err)
	}
	// The name in parentheses may contain spaces and parentheses.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("finding process %d: unexpected %q", pid, text)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("finding process %d: %w", pid, err)
	}
	if fields[0] == "Z" {
		return process{}, fmt.Errorf("finding process %d: it has ended: %w", pid, fs.ErrNotExist)
	}
	return process{PID: pid, Start: start}, nil
}

// alive reports whether the process is still running.
func (p process) alive() bool {
	if p.PID == 0 {
		return false
	}
	now, err := findProcess(p.PID)
	return err == nil && now == p
}

// dead reports whether a lab is abandoned: its owner has ended and it is not persistent, or the
// machine has rebooted.
func (s *state) dead(boot string) bool {
	return s.BootID != boot || !s.Persistent && !s.Owner.alive()
}

func readState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a lab's state: %w", err)
	}
	s := new(state)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("reading a lab's state in %s: %w", path, err)
	}
	if s.Hosts == nil {
		s.Hosts = map[string]hostState{}
	}
	return s, nil
}

func writeState(dir string, s *state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = replaceFile(filepath.Join(dir, stateFile), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the state of lab %s: %w", s.Name, err)
	}
	return nil
}

// replaceFile replaces a file atomically, so that readers see either the old or the new content.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".tmp-")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(mode), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// update changes the lab's state on disk. A lock excludes other processes and goroutines.
func (l *Lab) update(ctx context.Context, change func(s *state) error) error {
	unlock, err := lockFile(ctx, filepath.Join(l.dir, "lock"), nil)
	if err != nil {
		return fmt.Errorf("changing lab %s: %w", l.Name, err)
	}
	defer unlock()
	s, err := readState(l.dir)
	if err != nil {
		return err
	}
	if err := change(s); err != nil {
		return err
	}
	return writeState(l.dir, s)
}

// lockAll takes the lock for creating and ending labs.
func lockAll(ctx context.Context) (func(), error) {
	if err := makeDirs(runRoot); err != nil {
		return nil, fmt.Errorf("creating the labs' directory: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(runRoot, ".lock"), nil)
	if err != nil {
		return nil, fmt.Errorf("waiting for other labs: %w", err)
	}
	return unlock, nil
}

// labDirs returns the run directories of all labs, by name.
func labDirs() (map[string]string, error) {
	entries, err := os.ReadDir(runRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing labs: %w", err)
	}
	dirs := map[string]string{}
	for _, entry := range entries {
		if entry.IsDir() {
			dirs[entry.Name()] = filepath.Join(runRoot, entry.Name())
		}
	}
	return dirs, nil
}
