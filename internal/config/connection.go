package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// The types of connection blocks.
const (
	connectionSSH   = "ssh"
	connectionLocal = "local"
)

// missingAddress is the error of a host block that has no address, and no connection block that may make it needless.
func missingAddress(hb *hostBlock) hcl.Diagnostics {
	if hb.body.Attributes["address"] != nil || slices.ContainsFunc(hb.body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "connection" }) {
		return nil
	}
	return hcl.Diagnostics{lang.ErrorAt(hb.header, "Missing required argument", "In a host, the argument \"address\" is required.")}
}
