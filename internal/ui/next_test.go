package ui

import "testing"

func TestNextSteps(t *testing.T) {
	t.Parallel()
	list := []NextStep{{[]string{"sync", "fra1", `edge["ams"]`}, "fill the mirrors"}, {[]string{"verify"}, "look\x1b[31m"}}
	for width, want := range map[int]string{
		0:  "\nNext:\n  mirrorform sync fra1 'edge[\"ams\"]'  # fill the mirrors\n  mirrorform verify                   # look\\x1b[31m\n",
		40: "\nNext:\n  mirrorform sync fra1 'edge[\"ams\"]'\n    # fill the mirrors\n  mirrorform verify\n    # look\\x1b[31m\n",
	} {
		u, out, _ := newTest(Options{Color: "never", Width: width})
		u.NextSteps(list)
		u.NextSteps(nil)
		if out.String() != want {
			t.Errorf("at %d columns:\n%q\nwant\n%q", width, out.String(), want)
		}
	}
}
