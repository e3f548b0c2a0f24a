package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// The types of connection blocks.
const (
	connectionSSH     = "ssh"
	connectionOpenSSH = "openssh"
	connectionLocal   = "local"
)

// missingAddress returns the error of a host block without an address. A host with a connection
// block may not need one, see hostReader.connection.
func missingAddress(hb *hostBlock) hcl.Diagnostics {
	hasConnection := slices.ContainsFunc(hb.body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "connection" })
	if hb.body.Attributes["address"] != nil || hasConnection {
		return nil
	}
	return hcl.Diagnostics{lang.ErrorAt(hb.header, "Missing required argument",
		"In a host, the argument \"address\" is required.")}
}
