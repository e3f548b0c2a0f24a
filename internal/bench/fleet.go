package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/zclconf/go-cty/cty"
)

//go:embed testdata
var testdata embed.FS

// asRoot and asSudo are the measured ways to log in.
var (
	asRoot = login{"root", "none"}
	asSudo = login{"admin", "sudo"}
)

type login struct{ user, become string }

// fleet is a configuration in a separate directory.
type fleet struct {
	bench *bench
	dir   string
	args  []string // for every command, such as --var
}

// fleet writes the configuration testdata/NAME with a block for each host. via, if not empty,
// replaces the address ("host:port") of the first host.
func (b *bench) fleet(name string, hosts []*lab.Host, as login, via string, args ...string) (*fleet, error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(testdata, "testdata/"+name)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, err
	}
	f := hclwrite.NewEmptyFile()
	for i, h := range hosts {
		key, err := h.HostKey()
		if err != nil {
			return nil, err
		}
		body := f.Body().AppendNewBlock("host", []string{h.Name}).Body()
		body.SetAttributeValue("address", cty.StringVal(h.Address))
		if i == 0 && via != "" {
			address, port, err := split(via)
			if err != nil {
				return nil, err
			}
			body.SetAttributeValue("address", cty.StringVal(address))
			body.SetAttributeValue("port", cty.NumberIntVal(port))
		}
		body.SetAttributeValue("user", cty.StringVal(as.user))
		body.SetAttributeValue("become", cty.StringVal(as.become))
		body.SetAttributeValue("identities", cty.ListVal([]cty.Value{cty.StringVal(b.lab.KeyPath())}))
		body.SetAttributeValue("host_key", cty.StringVal(key))
	}
	return &fleet{b, dir, args}, os.WriteFile(filepath.Join(dir, "hosts.hcl"), f.Bytes(), 0o644)
}

func split(address string) (host string, port int64, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.ParseInt(text, 10, 32)
	return host, port, err
}

// mirrorform runs a mirrorform command with the configuration.
func (f *fleet) mirrorform(ctx context.Context, args ...string) (result, error) {
	argv := append([]string{f.bench.program}, args...)
	results, err := execute(ctx, f.dir, nil, append(argv, f.args...))
	return results[0], err
}

// apply converges the hosts.
func (f *fleet) apply(ctx context.Context) (sample, error) {
	r, err := f.mirrorform(ctx, "apply", "--auto-approve")
	if err == nil && !strings.Contains(r.output, "Apply complete") && !strings.Contains(r.output, "No changes.") {
		err = fmt.Errorf("apply did not complete:\n%s", lastLines(r.output, 20))
	}
	return r.sample, err
}

// plan makes a plan that must have no changes.
func (f *fleet) plan(ctx context.Context) (sample, error) {
	r, err := f.mirrorform(ctx, "plan", "--detailed-exitcode")
	if err == nil && !strings.Contains(r.output, "No changes.") {
		err = fmt.Errorf("plan does not report \"No changes.\":\n%s", lastLines(r.output, 20))
	}
	return r.sample, err
}

// hostNames returns specs with names for n hosts, whose disk is the machine's.
func hostNames(prefix string, n int) []lab.HostSpec {
	specs := make([]lab.HostSpec, n)
	for i := range specs {
		specs[i] = lab.HostSpec{Name: fmt.Sprintf("%s-%d", prefix, i+1), Durable: true}
	}
	return specs
}

// boot boots hosts and waits until they are idle.
func (b *bench) boot(ctx context.Context, prefix string) ([]*lab.Host, error) {
	hosts, err := b.lab.BootAll(ctx, hostNames(prefix, b.hosts)...)
	if err != nil {
		return nil, err
	}
	return hosts, onEach(hosts, func(h *lab.Host) error {
		// Ignore the exit status, which reports failed units.
		_, _ = h.Run(ctx, "systemctl", "is-system-running", "--wait")
		return ctx.Err()
	})
}

// remove ends hosts.
func remove(ctx context.Context, hosts []*lab.Host) error {
	return onEach(hosts, func(h *lab.Host) error { return h.Remove(ctx) })
}

// onEach calls f for all hosts in parallel.
func onEach(hosts []*lab.Host, f func(h *lab.Host) error) error {
	errs := make(chan error, len(hosts))
	for _, h := range hosts {
		go func() { errs <- f(h) }()
	}
	var all error
	for range hosts {
		all = errors.Join(all, <-errs)
	}
	return all
}

// classic makes ssh use the key exchange that mirrorform uses with OpenSSH before 9.9. The default
// of that version, sntrup761x25519-sha512, takes much longer to compute.
var classic = []string{"-o", "KexAlgorithms=curve25519-sha256"}

// ssh returns an ssh command line with options before those of the lab.
func (b *bench) ssh(h *lab.Host, user string, options []string, argv ...string) []string {
	full := b.lab.SSHCommand(h, user, argv...)
	return append(append([]string{full[0]}, options...), full[1:]...)
}

// onAll runs a command on all hosts with parallel ssh processes.
func (b *bench) onAll(ctx context.Context, hosts []*lab.Host, user string, options []string,
	argv ...string) (sample, error) {
	argvs := make([][]string, len(hosts))
	for i, h := range hosts {
		argvs[i] = b.ssh(h, user, options, argv...)
	}
	results, err := execute(ctx, b.dir, nil, argvs...)
	return together(results), err
}

// applyNothing runs apply, which must not find changes.
func (f *fleet) applyNothing(ctx context.Context) (sample, error) {
	r, err := f.mirrorform(ctx, "apply", "--auto-approve")
	if err == nil && !strings.Contains(r.output, "No changes.") {
		err = fmt.Errorf("apply does not report \"No changes.\":\n%s", lastLines(r.output, 20))
	}
	return r.sample, err
}
