package mirror

import "testing"

// systemd takes away one level of quotes, and replaces % and $ (systemd.service(5)).
func TestSystemdQuote(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a b": `"a b"`, `it's "x"`: `"it's \"x\""`, `100% $HOME ${x} \n`: `"100%% $$HOME $${x} \\n"`, "": `""`,
	} {
		if got := systemdQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
