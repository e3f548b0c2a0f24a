package main

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// rules describes the rules of lint. Each has a heading with its name, which the help addresses of
// SARIF link to.
func (g *generator) rules() string {
	var out strings.Builder
	for _, r := range mirrorsd.Rules() {
		kind := []string{r.Severities()}
		if r.Fixable {
			kind = append(kind, "`--fix` corrects what has only one meaning")
		}
		if r.Optional {
			kind = append(kind, "only with `--enable "+r.Name+"`")
		}
		fmt.Fprintf(&out, "### %s\n\n%s. %s\n\n*%s.*\n\n", r.Name, prose(r.Summary), prose(r.Detail), upperFirst(strings.Join(kind, "; ")))
	}
	return out.String()
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
