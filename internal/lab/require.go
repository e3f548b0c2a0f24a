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

// ErrUnavailable is wrapped by every error that means that this machine or user cannot run a lab:
// it is not Linux, the user is not root, or a program is missing and cannot be installed.
var ErrUnavailable = errors.New("this machine cannot run a lab")

// requirement is a program that the lab needs on the machine.
type requirement struct {
	program string // in commandPath
	pkg     string // the Debian package with the program
	why     string
}

var requirements = []requirement{
	{"apt-get", "apt", "finds the package mirror and downloads packages"},
	{"debootstrap", "debootstrap", "builds the hosts' base tree"},
	{"dpkg-scanpackages", "dpkg-dev", "indexes the hosts' apt repository"},
	{"systemd-nspawn", "systemd-container", "boots the hosts"},
	{"ip", "iproute2", "creates the hosts' network"},
	{"rsync", "rsync", "serves the upstream mirror"},
	{"ssh", "openssh-client", "logs in to the hosts"},
	{"mount", "mount", "mounts the hosts' trees"},
	{"mkfs.ext4", "e2fsprogs", "formats the disks of hosts for power cuts"},
	{"mkfs.xfs", "xfsprogs", "formats the disks of hosts for power cuts"},
	{"nsenter", "util-linux", "runs programs on the hosts"},
	{"unshare", "util-linux", "prepares the base tree"},
}

// commandPath is the search path for programs on the machine and on hosts. root's PATH may not have
// the sbin directories if su(1) kept the PATH of another user.
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

// Check returns an error that wraps ErrUnavailable if this machine or user cannot run a lab.
// Missing programs that apt-get can install are not an error, since Open installs them.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: a lab needs Linux, and this is %s", ErrUnavailable, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: creating mounts, bridges and namespaces needs root; run the command again with sudo",
			ErrUnavailable)
	}
	if missing := missingRequirements(requirements); len(missing) > 0 {
		if _, ok := lookPath("apt-get"); !ok {
			return fmt.Errorf("%w: a lab needs a Debian-like machine with apt-get; missing: %s", ErrUnavailable,
				describe(missing))
		}
	}
	return nil
}

func missingRequirements(wanted []requirement) []requirement {
	var missing []requirement
	for _, r := range wanted {
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

// ensureRequirements runs Check and installs missing programs with apt-get.
func ensureRequirements(ctx context.Context, log io.Writer) error {
	if err := Check(); err != nil {
		return err
	}
	if err := install(ctx, requirements, log); err != nil {
		return err
	}
	return ensureKernel(ctx)
}

// install installs those of the wanted programs that are missing, with apt-get.
func install(ctx context.Context, wanted []requirement, log io.Writer) error {
	missing := missingRequirements(wanted)
	if len(missing) == 0 {
		return nil
	}
	logf(log, "installing missing programs with apt-get: %s", describe(missing))
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
	if missing = missingRequirements(wanted); len(missing) > 0 {
		return fmt.Errorf("%w: still missing after apt-get install: %s", ErrUnavailable, describe(missing))
	}
	return nil
}

// ensureKernel loads the overlay module if the kernel does not have it built in, and raises the
// limit of inotify instances. Each booted systemd uses about a dozen of them, so the default of 128
// suffices only for ten hosts. The limit remains raised.
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

// logf writes a progress line, unless log is nil.
func logf(log io.Writer, format string, args ...any) {
	if log != nil {
		_, _ = fmt.Fprintf(log, "lab: "+format+"\n", args...)
	}
}

// command prepares a program of the machine, with a clean environment that sets English and
// disables prompts. It keeps proxy settings, since apt may need them.
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

// run runs a program of the machine and returns its standard output. The error has the last lines
// of the program's output.
func run(ctx context.Context, argv ...string) ([]byte, error) {
	return runCmd(command(ctx, argv...))
}

func runCmd(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // the children of a killed program may keep the pipes open
	if err := cmd.Run(); err != nil {
		said := stderr.String()
		if strings.TrimSpace(said) == "" {
			said = stdout.String()
		}
		return []byte(stdout.String()), &CommandError{Argv: cmd.Args, Output: lastLines(said, 12), Err: err}
	}
	return []byte(stdout.String()), nil
}

// CommandError is the error of a program that failed or could not be started.
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

// lastLines returns the last n lines of text, without leading and trailing space.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
