package config

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
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

// orUnknown is the value of an argument, or unknown if it has none: for an error, or for a variable
// without a value.
func orUnknown(d *lang.Decoder, path string, v cty.Value) cty.Value {
	if d.Failed[path] || d.Unknown[path] {
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

// target is the object target for a host; facts may be nil.
func (h *Host) target(facts *wire.Facts) cty.Value {
	attrs := h.value.AsValueMap()
	attrs["facts"] = factsValue(facts)
	return cty.ObjectVal(attrs)
}
