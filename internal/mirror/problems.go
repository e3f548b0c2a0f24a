package mirror

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/engine"
)

// problems collects the problems of a mirror block.
type problems struct{ list []engine.Problem }

// errorf adds an error.
func (ps *problems) errorf(attribute, detail, format string, args ...any) {
	p := engine.Errorf(attribute, format, args...)
	p.Detail = detail
	ps.list = append(ps.list, p)
}

// failed reports whether there is an error.
func (ps *problems) failed() bool {
	return slices.ContainsFunc(ps.list, func(p engine.Problem) bool { return p.Severity == engine.Error })
}

// choice adds the error of a value that is not one of the choices.
func (ps *problems) choice(attribute, found string, choices ...string) {
	detail := "use " + strings.Join(choices, " or ")
	for _, c := range choices {
		if levenshtein.Distance(strings.ToLower(found), c, nil) <= 2 {
			detail = fmt.Sprintf("did you mean %q?", c)
		}
	}
	ps.errorf(attribute, detail, "invalid value %q of %s", found, attribute)
}

// report adds err, if not nil, as the error of an attribute.
func (ps *problems) report(attribute string, err error) {
	if err != nil {
		ps.errorf(attribute, "", "%v", err)
	}
}
