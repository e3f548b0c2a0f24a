package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// hostReader makes one host from the arguments of its block.
type hostReader struct {
	reader *lang.Reader
	block  *hostBlock
	others map[string]*hostBlock // candidates for jump
	args   hostArguments
	dec    *lang.Decoder
	host   *DeclaredHost
	diags  hcl.Diagnostics
}

// readHost decodes and checks the host of a block, or with a key, one host of its group.
func readHost(e *lang.Evaluator, hb *hostBlock, ctx *hcl.EvalContext, key string, others map[string]*hostBlock) (*DeclaredHost, hcl.Diagnostics) {
	r := &hostReader{reader: e.Reader, block: hb, others: others, dec: lang.NewDecoder(e, ctx)}
	r.dec.Early = true
	r.dec.RefuseSensitive = func(path string, _ *lang.Field) string {
		if path == "become_password" {
			return ""
		}
		return "the connection settings of hosts are printed"
	}
	r.diags = r.dec.Fill(hb.body, &r.args)
	h := &DeclaredHost{Name: hb.name, Block: hb.name, Key: key, Become: "none", BecomePassword: r.args.BecomePassword,
		ConfirmTimeout: defaultConfirm, Labels: r.args.Labels, Range: hb.header}
	if hb.forEach != nil {
		h.Name = hb.name + engine.Index(key)
	}
	r.host = h
	r.connection()
	r.address()
	r.login()
	r.keys()
	r.jump()
	r.timeouts()
	e.Secrets.Add(cty.StringVal(h.BecomePassword))
	h.incomplete = len(r.dec.Failed)+len(r.dec.Unknown) > 0
	h.value = r.value()
	return h, r.diags
}

// value returns the object host.NAME.
func (r *hostReader) value() cty.Value {
	h, d := r.host, r.dec
	labels := cty.MapValEmpty(cty.String)
	if len(h.Labels) > 0 {
		labels = ctyValue(reflect.ValueOf(h.Labels))
	}
	return cty.ObjectVal(map[string]cty.Value{
		"name":    cty.StringVal(h.Name),
		"key":     cty.StringVal(h.keyOrName()),
		"address": orUnknown(d, "address", cty.StringVal(h.Address)),
		"user":    orUnknown(d, "user", textOrNull(h.User)),
		"port":    orUnknown(d, "port", h.portValue()),
		"labels":  orUnknown(d, "labels", labels),
	})
}

// wrong reports an error of an argument. The argument has no value then.
func (r *hostReader) wrong(name, format string, args ...any) {
	at := r.block.header
	if attr := r.block.body.Attributes[name]; attr != nil {
		at = attr.Expr.Range()
	}
	r.dec.Failed[name] = true
	r.diags = append(r.diags, lang.ErrorAt(at, "Invalid "+strings.ReplaceAll(name, "_", " "), "%s", fmt.Sprintf(format, args...)))
}

// known reports whether an argument is set and has a value.
func (r *hostReader) known(name string) bool {
	return r.block.body.Attributes[name] != nil && !r.dec.Failed[name] && !r.dec.Unknown[name]
}

// connection checks the connection block and whether an address is needed: hosts that are reached
// over SSH need one.
func (r *hostReader) connection() {
	h, body := r.host, r.block.body
	if c := r.args.Connection; c != nil && !r.dec.Failed["connection.type"] && !r.dec.Unknown["connection.type"] {
		at, ways := r.block.header, []string{connectionSSH, connectionOpenSSH, connectionLocal}
		for _, b := range body.Blocks {
			if attr := b.Body.Attributes["type"]; attr != nil {
				at = attr.Expr.Range()
			}
		}
		if !slices.Contains(ways, c.Type) {
			r.dec.Failed["connection.type"] = true
			r.diags = append(r.diags, lang.ErrorAt(at, "Invalid connection type",
				"%q is not a connection type. Use ssh, openssh or local.%s", c.Type, lang.DidYouMean(c.Type, ways)))
		}
		h.OnThisMachine, h.OpenSSH = c.Type == connectionLocal, c.Type == connectionOpenSSH
		if h.OnThisMachine && r.reader.Confine {
			r.diags = append(r.diags, lang.ErrorAt(at, "Host not allowed",
				"This host is the machine that mirrorform runs on, which a configuration cannot read with --confine. "+
					"Remove --confine only if you trust everyone who can change this configuration."))
		}
	}
	if h.OnThisMachine {
		h.Address = "localhost"
		for _, name := range []string{"user", "port", "host_key", "identities", "jump", "connect_timeout"} {
			if attr := body.Attributes[name]; attr != nil {
				r.diags = append(r.diags, lang.ErrorAt(attr.NameRange, "Argument without effect",
					"Remove %q: this host is the machine that mirrorform runs on, which is not reached over SSH.", name))
			}
		}
		return
	}
	if r.args.Address == nil && !r.dec.Failed["address"] && !r.dec.Unknown["address"] && !r.dec.Failed["connection.type"] {
		r.dec.Failed["address"] = true
		if missingAddress(r.block) == nil { // otherwise declareHost has reported it
			r.diags = append(r.diags, lang.ErrorAt(r.block.header, "Missing required argument",
				"In a host that is reached over SSH, the argument \"address\" is required."))
		}
	}
}

func (r *hostReader) address() {
	if !r.known("address") || r.args.Address == nil {
		return
	}
	r.host.Address = *r.args.Address
	if why := checkAddress(r.host.Address); why != "" {
		r.wrong("address", "%s", why)
	}
}

// login reads the user, the port and the way to become root.
func (r *hostReader) login() {
	h, a := r.host, &r.args
	if r.known("user") && a.User != nil {
		h.User = *a.User
		if len(h.User) > 64 || !userName.MatchString(h.User) {
			r.wrong("user", "%q is not a valid user name. "+
				"It can have letters, digits and . _ - @, and must not start with a dash, a dot or an @.", h.User)
		}
	}
	if r.known("port") && a.Port != nil {
		h.Port = *a.Port
		if h.Port < 1 || h.Port > 65535 {
			r.wrong("port", "A port must be a number from 1 to 65535.")
		}
	}
	if r.known("become") && a.Become != nil {
		h.Become = *a.Become
		if ways := []string{"none", "sudo", "doas"}; !slices.Contains(ways, h.Become) {
			r.wrong("become", "%q is not a way to become root. Use none, sudo or doas.%s",
				h.Become, lang.DidYouMean(h.Become, ways))
		}
	}
}

// keys reads the host keys and the identity files.
func (r *hostReader) keys() {
	if r.known("host_key") {
		keys, why := hostKeys(r.args.HostKey)
		if r.host.HostKey = keys; why != "" {
			r.wrong("host_key", "%s", why)
		}
	}
	if !r.known("identities") {
		return
	}
	for _, path := range r.args.Identities {
		expanded, err := r.reader.Path(path)
		if err == nil {
			err = r.reader.MayRead(expanded)
		}
		if err != nil {
			r.wrong("identities", "%s", lang.Sentence(err.Error(), "."))
		}
		r.host.Identities = append(r.host.Identities, expanded)
	}
}

func (r *hostReader) jump() {
	if !r.known("jump") || r.args.Jump.IsNull() {
		return
	}
	var why string
	if r.host.Jump, why = jumpHost(r.args.Jump, r.others); why != "" {
		r.wrong("jump", "%s", why)
	}
}

func (r *hostReader) timeouts() {
	h, a := r.host, &r.args
	if r.known("connect_timeout") && a.ConnectTimeout != nil {
		timeout, err := time.ParseDuration(*a.ConnectTimeout)
		if h.ConnectTimeout = timeout; err != nil || timeout <= 0 || timeout > time.Hour {
			r.wrong("connect_timeout",
				"%q is not a duration greater than zero and up to 1h, such as \"10s\" or \"1m30s\".", *a.ConnectTimeout)
		}
	}
	if r.known("confirm_timeout") && a.ConfirmTimeout != nil {
		timeout, err := time.ParseDuration(*a.ConfirmTimeout)
		if h.ConfirmTimeout = timeout; err != nil || timeout < minConfirm || timeout > maxConfirm {
			r.wrong("confirm_timeout", "%q is not a duration from 5s to 10m, such as \"60s\" or \"1m30s\".", *a.ConfirmTimeout)
		}
	}
}

// jumpHost returns the host for a value of jump, or what is wrong with the value.
func jumpHost(v cty.Value, blocks map[string]*hostBlock) (*DeclaredHost, string) {
	const wanted = "The argument takes one host, as in host.bastion, but "
	switch {
	case !v.IsWhollyKnown():
		return nil, "" // the cause is another error, which was reported
	case v.Type() == cty.String && blocks[v.AsString()] != nil:
		return nil, wanted + fmt.Sprintf("this is a string. Write host.%s without quotes.", v.AsString())
	case !v.Type().Equals(hostType) && v.CanIterateElements():
		return nil, wanted + "this is a group of hosts or a list. For one host of a group, write host.NAME[\"KEY\"]."
	case !v.Type().Equals(hostType):
		return nil, wanted + fmt.Sprintf("this is %s.", lang.DescribeType(v.Type()))
	}
	if v.GetAttr("name").IsNull() {
		return nil, wanted + "this object is not a host."
	}
	for _, hb := range blocks {
		for _, h := range hb.hosts {
			if h.Name != v.GetAttr("name").AsString() {
				continue
			}
			if h.OnThisMachine {
				return nil, fmt.Sprintf("host.%s is the machine that mirrorform runs on, so it cannot be a jump host.", hb.name)
			}
			return h, ""
		}
	}
	return nil, wanted + "this object is not a host."
}
