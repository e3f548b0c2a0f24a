package sarif

import "testing"

func TestText(t *testing.T) {
	t.Parallel()
	if got := Text(`unknown key "{0}"`); got != `unknown key "{{0}}"` {
		t.Error(got)
	}
}
