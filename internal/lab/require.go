package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ErrUnavailable is wrapped by every error that says that this machine or
// this user cannot run a lab at all: not Linux, not root, or a program that is
// missing and cannot be installed.
var ErrUnavailable = errors.New("the lab cannot run here")

// requirement is a program that the lab runs on the machine itself.
type requirement struct {
	program string // looked up in PATH and the sbin directories
	pkg     string // the Debian package that has it
	why     string
}

var requirements = []requirement{
	{"apt-get", "apt", "finds the package mirror and downloads packages"},
	{"debootstrap", "debootstrap", "makes the hosts' base tree"},
	{"dpkg-scanpackages", "dpkg-dev", "indexes the hosts' apt repository"},
	{"systemd-nspawn", "systemd-container", "boots the hosts"},
	{"ip", "iproute2", "makes the hosts' network"},
	{"rsync", "rsync", "is the upstream mirror's daemon"},
	{"ssh", "openssh-client", "logs in to the hosts"},
	{"mount", "mount", "mounts the hosts' trees"},
	{"mkfs.ext4", "e2fsprogs", "makes the disks of hosts that lose their power"},
	{"mkfs.xfs", "xfsprogs", "makes the disks of hosts that lose their power"},
	{"nsenter", "util-linux", "runs programs inside the hosts"},
	{"unshare", "util-linux", "prepares the base tree"},
}

// commandPath is the search path for programs on the machine and in hosts:
// root's path may lack the sbin directories when su(1) kept a user's PATH.
const commandPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds a program in commandPath.
func lookPath(program string) (string, bool) {
	for _, dir := range filepath.SplitList(commandPath) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, true
		}
	}
	return "", false
}

// Check says whether this machine and user can run a lab. The error wraps
// ErrUnavailable unless all that is missing can be installed with apt-get,
// which Open does by itself.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it boots Linux hosts in namespaces, and this is %s", ErrUnavailable, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it makes mounts, bridges and namespaces, so it needs root; try again with sudo", ErrUnavailable)
	}
	if missing := missingRequirements(); len(missing) > 0 {
		if _, ok := lookPath("apt-get"); !ok {
			return fmt.Errorf("%w: it needs a Debian-like machine with apt-get; missing: %s", ErrUnavailable, describe(missing))
		}
	}
	return nil
}

func missingRequirements() []requirement {
	var missing []requirement
	for _, r := range requirements {
		if _, ok := lookPath(r.program); !ok {
			missing = append(missing, r)
		}
	}
	return missing
}

func describe(missing []requirement) string {
	parts := make([]string, len(missing))
	for i, r := range missing {
		parts[i] = fmt.Sprintf("%s (package %s, %s)", r.program, r.pkg, r.why)
	}
	return strings.Join(parts, "; ")
}

// ensureRequirements runs Check and installs what is missing with apt-get.
func ensureRequirements(ctx context.Context, log io.Writer) error {
	if err := Check(); err != nil {
		return err
	}
	missing := missingRequirements()
	if len(missing) > 0 {
		logf(log, "installing with apt-get, since the lab needs it: %s", describe(missing))
		argv := []string{"apt-get", "install", "-y", "--no-install-recommends"}
		for _, r := range missing {
			argv = append(argv, r.pkg)
		}
		if _, err := run(ctx, argv...); err != nil {
			// The package lists of a fresh machine are empty or stale.
			if _, err := run(ctx, "apt-get", "update"); err != nil {
				return fmt.Errorf("%w: missing %s: %w", ErrUnavailable, describe(missing), err)
			}
			if _, err := run(ctx, argv...); err != nil {
				return fmt.Errorf("%w: missing %s: %w", ErrUnavailable, describe(missing), err)
			}
		}
		if missing = missingRequirements(); len(missing) > 0 {
			return fmt.Errorf("%w: still missing after apt-get install: %s", ErrUnavailable, describe(missing))
		}
	}
	return ensureKernel(ctx)
}

// ensureKernel loads the overlay module where it is one, and raises the limit
// of inotify instances: each booted systemd takes about a dozen, and the
// default of 128 runs out at ten hosts. The limit is left raised.
func ensureKernel(ctx context.Context) error {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("reading the kernel's file systems: %w", err)
	}
	if !strings.Contains(string(known), "\toverlay\n") {
		if _, err := run(ctx, "modprobe", "overlay"); err != nil {
			return fmt.Errorf("%w: this kernel has no overlay file system: %w", ErrUnavailable, err)
		}
	}
	const limit, want = "/proc/sys/fs/inotify/max_user_instances", 8192
	data, err := os.ReadFile(limit)
	if err != nil {
		return fmt.Errorf("reading the inotify limit: %w", err)
	}
	var have int
	if _, err := fmt.Sscan(string(data), &have); err != nil {
		return fmt.Errorf("reading %s: %w", limit, err)
	}
	if have < want {
		if err := os.WriteFile(limit, fmt.Appendf(nil, "%d\n", want), 0o644); err != nil {
			return fmt.Errorf("raising the inotify limit for the hosts: %w", err)
		}
	}
	return nil
}

// logf writes one progress line; a nil log discards it.
func logf(log io.Writer, format string, args ...any) {
	if log != nil {
		_, _ = fmt.Fprintf(log, "lab: "+format+"\n", args...)
	}
}

// command prepares a program of the machine with a clean, English, prompt-free
// environment. Proxy settings pass through, since apt may need them.
func command(ctx context.Context, argv ...string) *exec.Cmd {
	program := argv[0]
	if path, ok := lookPath(program); ok && !strings.Contains(program, "/") {
		program = path
	}
	cmd := exec.CommandContext(ctx, program, argv[1:]...)
	cmd.Env = cleanEnv()
	return cmd
}

func cleanEnv() []string {
	env := []string{"PATH=" + commandPath, "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	for _, name := range []string{"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// run runs a program of the machine to its end and returns its standard
// output. The error carries the last lines of what it wrote.
func run(ctx context.Context, argv ...string) ([]byte, error) {
	return runCmd(command(ctx, argv...))
}

func runCmd(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // a killed program's children may hold the pipes
	if err := cmd.Run(); err != nil {
		said := stderr.String()
		if strings.TrimSpace(said) == "" {
			said = stdout.String()
		}
		return []byte(stdout.String()), &CommandError{Argv: cmd.Args, Output: lastLines(said, 12), Err: err}
	}
	return []byte(stdout.String()), nil
}

// CommandError is a program that could not be started or ended with a failure.
type CommandError struct {
	Argv   []string
	Output string // the last lines of its standard error, or of its output if that is empty
	Err    error  // an *exec.ExitError when it ran
}

// Error names the program and its first arguments, the failure and the output.
func (e *CommandError) Error() string {
	line := strings.Join(e.Argv, " ")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	if e.Output == "" {
		return fmt.Sprintf("%s: %v", line, e.Err)
	}
	return fmt.Sprintf("%s: %v:\n%s", line, e.Err, e.Output)
}

// Unwrap returns the failure itself.
func (e *CommandError) Unwrap() error { return e.Err }

// lastLines returns the last n lines of text, without surrounding blank space.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
