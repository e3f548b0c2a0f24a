package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mirrorform/mirrorform/internal/bench/simulate"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// simulation is a process that simulates hosts, with a configuration for them.
type simulation struct {
	bench *bench
	dir   string
	hosts []simulate.Machine
	end   func() error

	identity, knownHosts string // files
	resources            int    // on each host
	record               string // ID of the configuration that converged the hosts
}

// simulate starts a process with hosts in the directory dir. In the directory of an earlier
// simulation the hosts have the files of that simulation.
func (b *bench) simulate(ctx context.Context, dir string, set *scaleSet) (s *simulation, err error) {
	keys, err := os.MkdirTemp(b.dir, "keys-")
	if err != nil {
		return nil, err
	}
	s = &simulation{bench: b, dir: dir, resources: set.resources, identity: filepath.Join(keys, "identity"),
		knownHosts: filepath.Join(keys, "known_hosts")}
	digest, err := b.helperDigest()
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.identity, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	authorized, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	request, err := json.Marshal(simulate.Options{
		Hosts: set.most(), Dir: dir, Helper: digest, AuthorizedKey: string(ssh.MarshalAuthorizedKey(authorized)), Delay: set.delay, Shell: true,
	})
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, "-simulate")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.end = func() error { return errors.Join(in.Close(), cmd.Wait()) }
	if _, err = in.Write(request); err == nil {
		err = json.NewDecoder(out).Decode(&s.hosts)
	}
	if err == nil {
		err = s.writeKnownHosts(set.hashed)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simulating %d hosts: %w", set.most(), err), s.end())
	}
	return s, nil
}

// helperDigest returns the SHA-256 of the helper in the program under test, for this machine's
// architecture. Simulated hosts report this digest.
func (b *bench) helperDigest() (string, error) {
	file := filepath.Join(b.helpers, "index.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%w; run make build", err)
	}
	var index struct{ SHA256 map[string]string }
	if err := json.Unmarshal(text, &index); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return index.SHA256[runtime.GOARCH], nil
}

func (s *simulation) writeKnownHosts(hashed bool) error {
	var lines strings.Builder
	for _, h := range s.hosts {
		name := fmt.Sprintf("[%s]:%d", h.Address, h.Port)
		if hashed {
			name = knownhosts.HashHostname(name)
		}
		fmt.Fprintf(&lines, "%s %s", name, h.HostKey)
	}
	return os.WriteFile(s.knownHosts, []byte(lines.String()), 0o600)
}

// configuration writes the configuration of the first n hosts.
func (s *simulation) configuration(n int) (*fleet, error) {
	dir, err := os.MkdirTemp(s.bench.dir, "scale-")
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(testdata, "testdata/scale")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, err
	}
	hosts := map[string]cty.Value{}
	for _, h := range s.hosts[:n] {
		hosts[h.Name] = cty.ObjectVal(map[string]cty.Value{
			"address": cty.StringVal(h.Address), "port": cty.NumberIntVal(int64(h.Port)), "root": cty.StringVal(h.Root),
		})
	}
	f := hclwrite.NewEmptyFile()
	f.Body().AppendNewBlock("locals", nil).Body().SetAttributeValue("hosts", cty.ObjectVal(hosts))
	text := string(f.Bytes()) + fmt.Sprintf(`
host "sim" {
  for_each   = local.hosts
  address    = each.value.address
  port       = each.value.port
  user       = "root"
  identities = [%q]
  labels     = { root = each.value.root }
}
`, s.identity)
	args := []string{"--known-hosts", s.knownHosts, fmt.Sprintf("--var=resources=%d", s.resources)}
	return &fleet{s.bench, dir, args}, errors.Join(
		os.WriteFile(filepath.Join(dir, "hosts.hcl"), []byte(text), 0o644),
		s.writeRecord(dir, n),
	)
}

// recordFile is the record of hosts that mirrorform keeps next to a configuration
// (internal/run/record.go).
const recordFile = "mirrorform.hosts.json"

// hostRecord is the content of recordFile.
type hostRecord struct {
	Format        int                          `json:"format_version"`
	Configuration string                       `json:"configuration"`
	Hosts         map[string]map[string]string `json:"hosts"`
}

// writeRecord gives a configuration of the first n hosts the ID of the configuration that converged
// them, if any.
func (s *simulation) writeRecord(dir string, n int) error {
	if s.record == "" {
		return nil
	}
	r := hostRecord{1, s.record, map[string]map[string]string{}}
	for _, h := range s.hosts[:n] {
		r.Hosts[fmt.Sprintf("sim[%q]", h.Name)] = map[string]string{"address": h.Address}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, recordFile), text, 0o644)
}

// converge applies the configuration of all hosts, and keeps its ID for other configurations.
func (s *simulation) converge(ctx context.Context) error {
	f, err := s.configuration(len(s.hosts))
	if err != nil {
		return err
	}
	took, err := f.apply(ctx)
	if err != nil {
		return err
	}
	progress("converged %d hosts with %d resources in %s", len(s.hosts), s.resources, seconds(took.wall))
	text, err := os.ReadFile(filepath.Join(f.dir, recordFile))
	if err != nil {
		return err
	}
	var r hostRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	s.record = r.Configuration
	return os.RemoveAll(f.dir)
}
