package mirror

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/engine"
)

// problems collects what is wrong with a mirror block.
type problems struct{ list []engine.Problem }

// errorf adds a problem that is an error.
func (ps *problems) errorf(attribute, detail, format string, args ...any) {
	p := engine.Errorf(attribute, format, args...)
	p.Detail = detail
	ps.list = append(ps.list, p)
}

// failed tells whether there is a problem that is an error.
func (ps *problems) failed() bool {
	return slices.ContainsFunc(ps.list, func(p engine.Problem) bool { return p.Severity == engine.Error })
}

// choice adds the problem of a value that is none of those there are.
func (ps *problems) choice(attribute, found string, choices ...string) {
	detail := "use " + strings.Join(choices, " or ")
	for _, c := range choices {
		if levenshtein.Distance(strings.ToLower(found), c, nil) <= 2 {
			detail = fmt.Sprintf("did you mean %q?", c)
		}
	}
	ps.errorf(attribute, detail, "%q is not a value of %s", found, attribute)
}

// report adds the problem of an attribute, if there is one.
func (ps *problems) report(attribute string, err error) {
	if err != nil {
		ps.errorf(attribute, "", "%v", err)
	}
}
