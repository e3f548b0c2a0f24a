package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine"
)

func TestNextSteps(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 9 {
		many = append(many, fmt.Sprintf("+m%d/mirror.almalinux.tree", i))
	}
	for _, c := range []struct {
		name string
		done []string
		want []string
	}{
		{"nothing of a mirror", []string{"+fra1/file.motd", "+fra1/directory.tree"}, nil},
		{"a new mirror", []string{"+fra1/mirror.almalinux.tree", "+fra1/mirror.almalinux.site", `+local/mirror.almalinux.publish["fra1"]`}, []string{"sync fra1", "verify fra1", "publish --check"}},
		{"hosts of a for_each block", []string{`+edge["ams"]/mirror.almalinux.tree`, `+edge["sin"]/mirror.almalinux.tree`}, []string{`sync edge["ams"] edge["sin"]`}},
		{"a changed entry", []string{`~local/mirror.almalinux.publish["fra1"]`, "~fra1/mirror.almalinux.site"}, []string{"publish --check"}},
		{"an entry less", []string{`-local/mirror.almalinux.publish["fra1"]`, "-fra1/mirror.almalinux.tree"}, nil},
		{"many", many, []string{"sync"}},
	} {
		result := &engine.Result{}
		for _, text := range c.done {
			action := map[byte]engine.Action{'+': engine.Create, '~': engine.Update, '-': engine.Delete}[text[0]]
			a, _ := engine.ParseAddress(text[1:])
			i := slices.IndexFunc(result.Hosts, func(h *engine.HostResult) bool { return h.Host == a.Host })
			if i < 0 {
				i = len(result.Hosts)
				result.Hosts = append(result.Hosts, &engine.HostResult{Host: a.Host})
			}
			result.Hosts[i].Done = append(result.Hosts[i].Done, &engine.Change{Address: text[1:], Action: action})
		}
		var got []string
		for _, s := range nextSteps(result) {
			got = append(got, strings.Join(s.Command, " "))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
