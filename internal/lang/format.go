package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the source of a configuration or variable file in the canonical style:
// indentation, spaces and aligned equals signs. Comments and line breaks stay. A source with syntax
// errors is an error.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if _, diags := parseConfig(src, filename); diags.HasErrors() {
		return nil, Tidy(diags)
	}
	return hclwrite.Format(src), nil
}
