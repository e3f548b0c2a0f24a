package config

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// localHost is the name of the machine that mirrorform runs on. It needs no host block.
const localHost = "local"

// The default and the limits of confirm_timeout. A new connection may need up to five seconds;
// nobody waits longer than ten minutes.
const (
	defaultConfirm = 60 * time.Second
	minConfirm     = 5 * time.Second
	maxConfirm     = 10 * time.Minute
)

// DeclaredHost is one machine.
type DeclaredHost struct {
	Name  string // "fra1", or `edge["ams"]` in a group
	Block string // the block's label: "edge"
	Key   string // the for_each key in a group, otherwise ""
	Local bool   // host local, which needs no connection

	Address        string        // IP address or DNS name
	User           string        // user to log in as; "" is not set
	Port           int           // of the SSH server; 0 is not set
	Become         string        // how to become root: "none", "sudo" or "doas"
	BecomePassword string        // secret: password for sudo or doas; "" is not set
	HostKey        []string      // pinned host keys as in known_hosts(5), without the host: "ssh-ed25519 AAAA…"
	Identities     []string      // paths of identity files
	ConnectTimeout time.Duration // 0 is not set
	Jump           *DeclaredHost // the jump host; nil is not set
	OnThisMachine  bool          // connection type "local": the helper runs on this machine, without SSH
	OpenSSH        bool          // connection type "openssh": the operator's own ssh connects
	Labels         map[string]string

	// ConfirmTimeout limits the wait for a new connection, after a change that could have cut the
	// connection. It is never 0.
	ConfirmTimeout time.Duration

	Range hcl.Range // the block's header
	value cty.Value // host.NAME

	incomplete bool // an argument has no value: there was an error, or a variable has none
}

// orUnknown returns the value of an argument, or unknown if the argument has none: there was an
// error, or a variable has no value.
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

// portValue returns the port of the host's SSH server. On this machine it is null.
func (h *DeclaredHost) portValue() cty.Value {
	switch {
	case h.OnThisMachine:
		return cty.NullVal(cty.Number)
	case h.Port == 0:
		return cty.NumberIntVal(sshPort)
	}
	return cty.NumberIntVal(int64(h.Port))
}

// sshPort is the default port of SSH servers.
const sshPort = 22

// keyOrName returns the key of a host in a group, and the name of any other host. Unlike the name
// of a host in a group, it can be part of a DNS name.
func (h *DeclaredHost) keyOrName() string {
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

// target returns the object target for a host. facts may be nil.
func (h *DeclaredHost) target(facts *wire.Facts) cty.Value {
	attrs := h.value.AsValueMap()
	attrs["facts"] = factsValue(facts)
	return cty.ObjectVal(attrs)
}
