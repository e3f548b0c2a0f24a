package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// maxGateOutput is how many bytes, from the end, of a gate command's output are shown.
const maxGateOutput = 8 << 10

// gateGrace is how long a gate's command may take to end after SIGTERM.
const gateGrace = 5 * time.Second

// describeGate describes what a gate runs.
func describeGate(g *config.Gate) string {
	var parts []string
	if len(g.Command) > 0 {
		parts = append(parts, g.Command[0])
	}
	if g.Verify {
		parts = append(parts, "verify")
	}
	return strings.Join(parts, ", then ")
}

// gateCommand runs the gate's program in the configuration's directory, without a shell. If its
// exit status is not 0, the error includes the end of its output.
func (d *waveDriver) gateCommand(ctx context.Context, wave int, hosts []string) error {
	argv := d.rollout.gate.Command
	out := &tail{most: maxGateOutput}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the configuration's own
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.sources.Dir, out, out
	cmd.Env = append(withoutPassword(os.Environ()),
		fmt.Sprintf("MIRRORFORM_WAVE=%d", wave+1), fmt.Sprintf("MIRRORFORM_WAVES=%d", d.rollout.count()),
		"MIRRORFORM_HOSTS="+strings.Join(hosts, "\n"))
	// With its own process group, an interrupt from the terminal does not end the command: a wave may
	// be waiting for its result.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = gateGrace
	err := cmd.Run()
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", argv[0], err)
	if text := strings.TrimSpace(d.connector.secrets.Hide(out.String())); text != "" {
		err = fmt.Errorf("%w\n%s", err, text)
	}
	return err
}

// withoutPassword returns an environment without the password for sudo.
func withoutPassword(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(e string) bool { return strings.HasPrefix(e, becomePasswordVar+"=") })
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	text []byte
	cut  bool
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer. It accepts all of p.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - t.most; over > 0 {
		t.text, t.cut = append([]byte(nil), t.text[over:]...), true
	}
	return len(p), nil
}

func (t *tail) String() string {
	if t.cut {
		return "… " + strings.ToValidUTF8(string(t.text), "")
	}
	return strings.ToValidUTF8(string(t.text), "\uFFFD")
}

// gateVerify checks the mirrors of the hosts from outside, as the verify command does. It skips
// hosts that publish nothing.
func (d *waveDriver) gateVerify(ctx context.Context, hosts []string) error {
	mirrors, err := d.mirrorsOn(hosts)
	if err != nil || len(mirrors) == 0 {
		return err
	}
	return d.Options.Verify(ctx, d.Config, mirrors, d.rollout.RollBack) // with RollBack, the hosts' transactions are open, and their progress is shown
}

// mirrorsOn returns the mirrors that the hosts publish, with the facts of the approved plan.
func (d *waveDriver) mirrorsOn(hosts []string) ([]upstream.Mirror, error) {
	facts := map[string]*wire.Facts{}
	for _, h := range d.approved.Hosts {
		if h.Facts != nil {
			facts[h.Host] = h.Facts
		}
	}
	list, err := d.Entries(facts)
	if err != nil {
		return nil, err
	}
	var mirrors []upstream.Mirror
	for _, e := range list {
		if slices.Contains(hosts, e.Host) {
			mirrors = append(mirrors, upstream.Mirror{Host: e.Host, Hub: e.Hub, File: e.File})
		}
	}
	return mirrors, nil
}
