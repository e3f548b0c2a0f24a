package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// localHost is the name of the machine that mirrorform runs on. It needs no declaration.
const localHost = "local"

// The confirm_timeout of a host: below five seconds a new connection has no time, and after ten minutes nobody waits any more.
const (
	defaultConfirm = 60 * time.Second
	minConfirm     = 5 * time.Second
	maxConfirm     = 10 * time.Minute
)

// Host is one machine.
type Host struct {
	Name  string // "fra1", or `edge["ams"]` for one of a group
	Block string // the block's label: "edge"
	Key   string // the for_each key, for one of a group
	Local bool   // the machine that mirrorform runs on: no connection is needed

	Address        string        // IP address or name in DNS
	User           string        // whom to log in as; "" is not set
	Port           int           // of the SSH server; 0 is not set
	Become         string        // how to become root: "none", "sudo" or "doas"
	BecomePassword string        // secret: what sudo or doas may ask for; "" is not set
	HostKey        []string      // pinned host keys, each as in known_hosts(5) without the host: "ssh-ed25519 AAAA…"
	Identities     []string      // paths of identity files
	ConnectTimeout time.Duration // 0 is not set
	Jump           *Host         // the host to connect through; nil is none
	OnThisMachine  bool          // connection type "local": the helper runs here, by itself and without SSH
	ConfirmTimeout time.Duration // how long a change that could cut the connection waits to be confirmed over a new one; never 0
	Labels         map[string]string

	Range hcl.Range // the block's header
	value cty.Value // host.NAME

	incomplete bool // an argument has no value: for an error, or for a variable without one
}

// Hosts returns the hosts in the order of their declaration, those of a group by key. Host local comes last, if anything is placed on it.
func (c *Config) Hosts() []*Host { return slices.Clone(c.hosts) }

// hostBlock is a host block: one host, or with for_each a group.
type hostBlock struct {
	name    string
	body    *hclsyntax.Body
	header  hcl.Range
	forEach hclsyntax.Expression
	hosts   []*Host
	failed  bool // its hosts are not known, for an error that was reported
}

// hostArguments are the arguments of a host block.
type hostArguments struct {
	Address        *string           `hcl:"address,optional"`
	User           *string           `hcl:"user,optional"`
	Port           *int              `hcl:"port,optional"`
	Become         *string           `hcl:"become,optional"`
	BecomePassword string            `hcl:"become_password,optional"`
	HostKey        cty.Value         `hcl:"host_key,optional"`
	Identities     []string          `hcl:"identities,optional"`
	Jump           cty.Value         `hcl:"jump,optional"`
	ConnectTimeout *string           `hcl:"connect_timeout,optional"`
	ConfirmTimeout *string           `hcl:"confirm_timeout,optional"`
	Labels         map[string]string `hcl:"labels,optional"`
	Connection     *connectionShape  `hcl:"connection,block"`
}

// connectionShape is the nested block connection.
type connectionShape struct {
	Type string `hcl:"type"`
}

func (c *Config) declareHost(b *hclsyntax.Block) hcl.Diagnostics {
	hb := &hostBlock{name: b.Labels[0], body: b.Body, header: b.DefRange(), forEach: argumentOf(b.Body, "for_each")}
	diags := structure(b.Body, hb.header, mustShape[hostArguments](), "a host", []string{"for_each"})
	diags = append(diags, missingAddress(hb)...)
	if hb.name == localHost {
		return append(diags, errorAt(b.LabelRanges[0], "Reserved name", "The name %q means the machine that mirrorform runs on. It needs no block: write hosts = [host.local].", localHost))
	}
	if first := c.hostBlocks[hb.name]; first != nil {
		return append(diags, duplicate("host", hb.name, hb.header, first.header))
	}
	c.hostBlocks[hb.name] = hb
	return diags
}

func (hb *hostBlock) check(c *Config) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if hb.forEach != nil {
		diags = append(diags, c.check(hb.forEach, scope{global: true, eachWhy: "The for_each argument itself cannot refer to each."})...)
	}
	for _, expr := range mustShape[hostArguments]().expressions(hb.body, "for_each") {
		diags = append(diags, c.check(expr, scope{global: true, each: hb.forEach != nil, eachWhy: noForEach})...)
	}
	return diags
}

// evaluateHost finds the hosts of a block, and the value of host.NAME.
func (c *Config) evaluateHost(hb *hostBlock) hcl.Diagnostics {
	ctx := c.contextFor(expressions(hb.body)...)
	if hb.forEach == nil {
		h, diags := c.host(hb, ctx, "")
		hb.hosts, c.hostVals[hb.name] = []*Host{h}, h.value
		return diags
	}
	keys, diags := c.forEach(hb.forEach, ctx)
	if keys == nil {
		hb.failed, c.hostVals[hb.name] = true, cty.DynamicVal
		return diags
	}
	values := map[string]cty.Value{}
	found := make([]hcl.Diagnostics, len(keys))
	for n, k := range keys {
		h, hostDiags := c.host(hb, k.context(ctx), k.key)
		found[n] = hostDiags
		hb.hosts, values[k.key] = append(hb.hosts, h), h.value
	}
	c.hostVals[hb.name] = cty.ObjectVal(values)
	return append(diags, perHost(hb.hosts, found)...)
}

// host decodes one host.
func (c *Config) host(hb *hostBlock, ctx *hcl.EvalContext, key string) (*Host, hcl.Diagnostics) {
	var a hostArguments
	d := newDecoder(c, ctx)
	d.early = true
	d.refuseSensitive = func(path string, _ *field) string {
		if path == "become_password" {
			return ""
		}
		return "what says how a host is reached is printed"
	}
	diags := d.body(hb.body, reflect.ValueOf(&a).Elem(), "")
	h := &Host{Name: hb.name, Block: hb.name, Key: key, Become: "none", BecomePassword: a.BecomePassword,
		ConfirmTimeout: defaultConfirm, Labels: a.Labels, Range: hb.header}
	if hb.forEach != nil {
		h.Name = hb.name + engine.Index(key)
	}
	diags = append(diags, h.set(c, hb, &a, d)...)
	c.secrets.add(cty.StringVal(h.BecomePassword))
	h.incomplete = len(d.failed)+len(d.unknown) > 0
	labels := cty.MapValEmpty(cty.String)
	if len(h.Labels) > 0 {
		labels = ctyValue(reflect.ValueOf(h.Labels))
	}
	h.value = cty.ObjectVal(map[string]cty.Value{
		"name":    cty.StringVal(h.Name),
		"key":     cty.StringVal(h.keyOrName()),
		"address": orUnknown(d, "address", cty.StringVal(h.Address)),
		"user":    orUnknown(d, "user", textOrNull(h.User)),
		"port":    orUnknown(d, "port", h.portValue()),
		"labels":  orUnknown(d, "labels", labels),
	})
	return h, diags
}

// orUnknown is the value of an argument, or unknown if it has none: for an error, or for a variable
// without a value.
func orUnknown(d *decoder, path string, v cty.Value) cty.Value {
	if d.failed[path] || d.unknown[path] {
		return cty.UnknownVal(v.Type())
	}
	return v
}

func textOrNull(s string) cty.Value {
	if s == "" {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(s)
}

// portValue is the port of the host's SSH server; this machine has none.
func (h *Host) portValue() cty.Value {
	switch {
	case h.OnThisMachine:
		return cty.NullVal(cty.Number)
	case h.Port == 0:
		return cty.NumberIntVal(sshPort)
	}
	return cty.NumberIntVal(int64(h.Port))
}

// sshPort is the port of SSH servers.
const sshPort = 22

// keyOrName is the key of one of a group, and the name of any other host: what a name in DNS can be
// made of.
func (h *Host) keyOrName() string {
	if h.Key != "" {
		return h.Key
	}
	return h.Name
}

func localHostValue() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(localHost), "key": cty.StringVal(localHost), "address": cty.StringVal("localhost"),
		"user": cty.NullVal(cty.String), "port": cty.NullVal(cty.Number), "labels": cty.MapValEmpty(cty.String),
	})
}

// set checks the arguments and puts them into the host. Arguments without a value are passed over.
func (h *Host) set(c *Config, hb *hostBlock, a *hostArguments, d *decoder) hcl.Diagnostics {
	var diags hcl.Diagnostics
	wrong := func(name, format string, args ...any) {
		at := hb.header
		if attr := hb.body.Attributes[name]; attr != nil {
			at = attr.Expr.Range()
		}
		d.failed[name] = true
		diags = append(diags, errorAt(at, "Invalid "+strings.ReplaceAll(name, "_", " "), "%s", fmt.Sprintf(format, args...)))
	}
	known := func(name string) bool {
		return hb.body.Attributes[name] != nil && !d.failed[name] && !d.unknown[name]
	}
	diags = append(diags, h.setConnection(hb, a, d)...)
	if known("address") && a.Address != nil {
		h.Address = *a.Address
		if why := checkAddress(h.Address); why != "" {
			wrong("address", "%s", why)
		}
	}
	if known("user") && a.User != nil {
		h.User = *a.User
		if !userName.MatchString(h.User) {
			wrong("user", "%q cannot be the name of a user: letters, digits and . _ - @ are allowed, and no dash at the start.", h.User)
		}
	}
	if known("port") && a.Port != nil {
		h.Port = *a.Port
		if h.Port < 1 || h.Port > 65535 {
			wrong("port", "A port is a number from 1 to 65535.")
		}
	}
	if known("become") && a.Become != nil {
		h.Become = *a.Become
		if ways := []string{"none", "sudo", "doas"}; !slices.Contains(ways, h.Become) {
			wrong("become", "The ways to become root are none, sudo and doas, not %q.%s", h.Become, didYouMean(h.Become, ways))
		}
	}
	if known("host_key") {
		keys, why := hostKeys(a.HostKey)
		if h.HostKey = keys; why != "" {
			wrong("host_key", "%s", why)
		}
	}
	if known("identities") {
		for _, path := range a.Identities {
			expanded, err := expandPath(path, c.dir)
			if err == nil {
				err = c.mayRead(expanded)
			}
			if err != nil {
				wrong("identities", "%s", sentence(err.Error(), "."))
			}
			h.Identities = append(h.Identities, expanded)
		}
	}
	if known("jump") && !a.Jump.IsNull() {
		var why string
		if h.Jump, why = c.jumpHost(a.Jump); why != "" {
			wrong("jump", "%s", why)
		}
	}
	if known("connect_timeout") && a.ConnectTimeout != nil {
		timeout, err := time.ParseDuration(*a.ConnectTimeout)
		if h.ConnectTimeout = timeout; err != nil || timeout <= 0 || timeout > time.Hour {
			wrong("connect_timeout", "%q is not a duration between zero and an hour, such as \"10s\" or \"1m30s\".", *a.ConnectTimeout)
		}
	}
	if known("confirm_timeout") && a.ConfirmTimeout != nil {
		timeout, err := time.ParseDuration(*a.ConfirmTimeout)
		if h.ConfirmTimeout = timeout; err != nil || timeout < minConfirm || timeout > maxConfirm {
			wrong("confirm_timeout", "%q is not a duration from five seconds to ten minutes, such as \"60s\" or \"1m30s\".", *a.ConfirmTimeout)
		}
	}
	return diags
}

var (
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$`)
	dnsName  = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)
	hostKey  = regexp.MustCompile(`^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: .*)?$`)
)

// checkAddress tells what is wrong with a host's address, or returns "".
func checkAddress(address string) string {
	if _, err := netip.ParseAddr(address); err == nil {
		return ""
	}
	switch {
	case address == "":
		return "The address is empty. It is an IP address or a name in DNS."
	case strings.HasPrefix(address, "[") || strings.Count(address, ":") > 1:
		return fmt.Sprintf("%q is not an IP address. An IPv6 address stands here without brackets; the port has an argument of its own.", address)
	case strings.Contains(address, ":"):
		return fmt.Sprintf("%q is not an address: the port has an argument of its own.", address)
	case strings.Contains(address, "@"):
		return fmt.Sprintf("%q is not an address: the user has an argument of its own.", address)
	case len(address) > 253 || !dnsName.MatchString(address):
		return fmt.Sprintf("%q is neither an IP address nor a name in DNS.", address)
	}
	return ""
}

// hostKeys takes one string or a list of them.
func hostKeys(v cty.Value) (keys []string, why string) {
	const wanted = "The host key is a string, or a list of strings, with the key's type and the key: \"ssh-ed25519 AAAA…\"."
	if v.IsNull() {
		return nil, ""
	}
	if v.Type() == cty.String {
		v = cty.ListVal([]cty.Value{v})
	}
	list, err := convert.Convert(v, cty.List(cty.String))
	if err != nil {
		return nil, wanted
	}
	for _, k := range list.AsValueSlice() {
		if k.IsNull() {
			return nil, wanted
		}
		for line := range strings.Lines(k.AsString()) {
			line = strings.TrimSpace(line)
			if !hostKey.MatchString(line) {
				return nil, wanted
			}
			keys = append(keys, line)
		}
	}
	return keys, ""
}

// expandPath makes a path absolute: ~ is the home directory, and what is relative is relative to dir.
func expandPath(path, dir string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("the path is empty")
	}
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the home directory for %s is not known: %w", path, err)
		}
		return filepath.Join(home, path[1:]), nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Abs(path)
}

// orderHosts lists the hosts in the order of their declaration.
func (c *Config) orderHosts() {
	blocks := make([]*hostBlock, 0, len(c.hostBlocks))
	for _, hb := range c.hostBlocks {
		blocks = append(blocks, hb)
	}
	slices.SortFunc(blocks, func(a, b *hostBlock) int {
		if before(&a.header, &b.header) {
			return -1
		}
		return 1
	})
	for _, hb := range blocks {
		for _, h := range hb.hosts {
			c.hosts = append(c.hosts, h)
			c.byHost[h.Name] = h
		}
	}
}

// addLocal adds host local, unless it is there.
func (c *Config) addLocal() *Host {
	if c.byHost[localHost] == nil {
		h := &Host{Name: localHost, Block: localHost, Local: true, Address: "localhost", Become: "none", ConfirmTimeout: defaultConfirm, value: localHostValue()}
		c.hosts = append(c.hosts, h)
		c.byHost[localHost] = h
	}
	return c.byHost[localHost]
}
