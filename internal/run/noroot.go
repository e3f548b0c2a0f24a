package run

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// anyAccount are the types whose resources an account that is not root can have, in its own
// directories. All others of mirrorform change the system.
var anyAccount = []string{"directory", "file", "symlink", "tree"}

// withoutRoot finds changes that need root on a host where the login is not root and does not
// become root: every one of them would fail, the first ones after others were made. An apply of the
// host is refused. Commands that only look get a warning, since looking may need no root.
func (r *Run) withoutRoot(p *engine.HostPlan) hcl.Diagnostics {
	h := r.Host(p.Host)
	if h == nil || p.Facts == nil || p.Facts.UID == 0 {
		return nil
	}
	changes := slices.DeleteFunc(slices.Clone(p.Changes), func(c engine.Change) bool { return slices.Contains(anyAccount, c.Type) })
	if h.Local || h.Become != "none" || len(changes) == 0 {
		return nil
	}
	problem := needsRoot(h, len(changes), changes[0].Address)
	diag := lang.WarningAt(h.Range, problem.Summary, "%s", problem.Detail)
	if r.Options.Command != "" {
		diag.Severity, problem.Severity = hcl.DiagError, engine.Error
	}
	p.Problems = append(p.Problems, &engine.ResourceProblem{Problem: problem})
	return hcl.Diagnostics{diag}
}

// needsRoot is the problem of a host, some changes of which need root, such as the first one.
func needsRoot(h *config.DeclaredHost, n int, first string) engine.Problem {
	login := "The login"
	if h.User != "" {
		login = "User " + h.User
	}
	what := fmt.Sprintf("%d changes need root, such as that of %s", n, first)
	if n == 1 {
		what = "the change of " + first + " needs root"
	}
	return engine.Problem{
		Severity: engine.Warning, Summary: "The login is not root, and become is not set", Plain: true,
		Detail: fmt.Sprintf("%s is not root on host %s, and %s. In the block of the host (%s), set become = \"sudo\" or \"doas\", or log in as root.",
			login, h.Name, what, lang.Place(h.Range)),
	}
}
