package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/matrix"
	"github.com/rogpeppe/go-internal/testscript"
)

// A script's variants are data in its first lines, which are comments:
//
//	# variants: server=nginx|apache|caddy os=debian12|el9
//	# matrix: os=debian11|debian13|el8|el10
//
// The script runs once for each value, with the first values of the other variables. The matrix
// (make test-matrix) runs all combinations, with further values. The test has the script's name,
// and the values that are not the first ones: TestLab/trees, TestLab/trees-apache. In the script,
//
//	$SERVER           is the value
//	[server:apache]   is whether it is that one: [!server:caddy] is for all others
//	[family:el]       is whether its hosts are of EL
//
// and what factsOf has for the values is in the environment, too. Hosts have the operating system os,
// unless boot says another one.

// variable is one that a script has variants for.
type variable struct {
	name   string
	values []string
	plain  int // how many of the values not only the matrix runs
}

// variant is one run of a script.
type variant struct {
	name      string // of the test
	variables []variable
	values    map[string]string // by name of the variable
}

// header returns the words of the lines "# KEY: WORD…" among a script's first lines.
func header(script, key string) (lines []string) {
	for s := bufio.NewScanner(strings.NewReader(script)); s.Scan(); {
		line, ok := strings.CutPrefix(s.Text(), "#")
		if !ok {
			break
		}
		if words, ok := strings.CutPrefix(line, " "+key+": "); ok {
			lines = append(lines, words)
		}
	}
	return lines
}

// readVariables reads the first lines of a script.
func readVariables(script string) (variables []variable, err error) {
	for _, key := range []string{"variants", "matrix"} {
		for _, word := range strings.Fields(strings.Join(header(script, key), " ")) {
			name, list, _ := strings.Cut(word, "=")
			values := strings.Split(list, "|")
			i := slices.IndexFunc(variables, func(v variable) bool { return v.name == name })
			if name == "" || slices.Contains(values, "") || i >= 0 && key == "variants" {
				return nil, fmt.Errorf("%s: %q is not a variable with its values, VARIABLE=VALUE|VALUE", key, word)
			}
			if i < 0 {
				i = len(variables)
				variables = append(variables, variable{name: name})
			}
			variables[i].values = append(variables[i].values, values...)
			if key == "variants" {
				variables[i].plain = len(values)
			}
		}
	}
	return variables, nil
}

// variantsOf returns the variants of a script: one without values where it has no variables. No
// variant has what its operating system does not have.
func variantsOf(name string, variables []variable, all bool) []variant {
	list := []variant{{name, variables, map[string]string{}}}
	for _, v := range variables {
		var next []variant
		for _, before := range list {
			for i, value := range v.values {
				if !all && (i >= v.plain || i > 0 && before.name != name) {
					continue
				}
				one := variant{before.name, variables, maps.Clone(before.values)}
				one.values[v.name] = value
				if i > 0 {
					one.name += "-" + value
				}
				next = append(next, one)
			}
		}
		list = next
	}
	return slices.DeleteFunc(list, func(v variant) bool {
		server := serverName(v.values["server"])
		return server != "" && matrix.Untested(v.values["os"], server) != ""
	})
}

// environment returns the variables of a variant's script.
func (v *variant) environment() (env []string) {
	for _, of := range v.variables {
		env = append(env, strings.ToUpper(of.name)+"="+v.values[of.name])
	}
	return append(env, factsOf(v.values)...)
}

// value returns the value of a variable in the script's environment, or "".
func (v *variant) value(name string) string {
	for _, line := range v.environment() {
		if value, is := strings.CutPrefix(line, name+"="); is {
			return value
		}
	}
	return ""
}

// is answers the condition VARIABLE:VALUE. known is whether the script has that variable.
func (v *variant) is(condition string) (yes, known bool, err error) {
	name, value, _ := strings.Cut(condition, ":")
	if name == "family" {
		return value == string(lab.OS(v.values["os"]).Family()), true, nil
	}
	for _, of := range v.variables {
		if of.name != name {
			continue
		}
		if !slices.Contains(of.values, value) {
			return false, true, fmt.Errorf("condition %s: %s is one of %s", condition, name, strings.Join(of.values, ", "))
		}
		return v.values[name] == value, true, nil
	}
	return false, false, nil
}

// runScripts runs all scripts of a directory in all their variants. Those with variants begin: they
// take the longest.
func runScripts(t *testing.T, dir string, params testscript.Params) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", dir, err)
	}
	links := t.TempDir() // a test is named after its file
	var plain []string
	for _, file := range files {
		file, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		variables, err := readVariables(string(script))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(variables) == 0 {
			plain = append(plain, file)
			continue
		}
		for _, v := range variantsOf(strings.TrimSuffix(filepath.Base(file), ".txtar"), variables, inMatrix()) {
			if !wanted(v.values["os"]) {
				continue
			}
			link := filepath.Join(links, v.name+".txtar")
			if err := os.Symlink(file, link); err != nil {
				t.Fatal(err)
			}
			runVariant(t, &v, string(script), v.params(params, link))
		}
	}
	if !inMatrix() {
		params.Files = plain
		testscript.Run(t, params)
	}
}

// params returns the parameters for a variant's script.
func (v *variant) params(of testscript.Params, file string) testscript.Params {
	p := of
	p.Files = []string{file}
	p.Setup = func(env *testscript.Env) error {
		env.Vars = append(env.Vars, v.environment()...)
		env.Values[variantKey{}] = v
		return of.Setup(env)
	}
	p.Condition = func(name string) (bool, error) {
		if yes, known, err := v.is(name); known {
			return yes, err
		}
		return of.Condition(name)
	}
	return p
}

// variantKey is the key of a script's *variant.
type variantKey struct{}

// systemOf returns the operating system of a script's hosts, or "".
func systemOf(ts *testscript.TestScript) string {
	if v, ok := ts.Value(variantKey{}).(*variant); ok {
		return v.values["os"]
	}
	return ""
}

// put writes a file of the script to a host, with its directory: put HOST FILE PATH
func put(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: put HOST FILE PATH")
	}
	h := hostOf(ts, args[0])
	if out, err := h.Run(context.Background(), "mkdir", "-p", filepath.Dir(args[2])); err != nil {
		ts.Fatalf("put: %s: %v", out, err)
	}
	ts.Check(h.Write(args[2], []byte(ts.ReadFile(args[1])), 0o644))
}

func TestVariants(t *testing.T) {
	t.Parallel()
	variables, err := readVariables("# A script.\n# variants: server=nginx|apache|caddy os=debian12|el9\n# matrix: os=el8\n# proves: TLS\nboot fra1\n# variants: no=more\n")
	if err != nil {
		t.Fatal(err)
	}
	names := func(list []variant) string {
		var names []string
		for _, v := range list {
			names = append(names, v.name)
		}
		return strings.Join(names, " ")
	}
	if got, want := names(variantsOf("trees", variables, false)), "trees trees-el9 trees-apache trees-caddy"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	all := variantsOf("trees", variables, true)
	// There is no Caddy for EL 8.
	if got, want := names(all), "trees trees-el9 trees-el8 trees-apache trees-apache-el9 trees-apache-el8 trees-caddy trees-caddy-el9"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	last := all[4]
	env := last.environment()
	for _, want := range []string{"SERVER=apache", "OS=el9", "FAMILY=el", "SERVER_UNIT=httpd.service", "CRON_UNIT=crond.service"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	for condition, want := range map[string]string{
		"server:apache": "true true <nil>", "server:nginx": "false true <nil>", "ipv6": "false false <nil>",
		"family:el": "true true <nil>", "family:debian": "false true <nil>",
		"os:el7": "false true condition os:el7: os is one of debian12, el9, el8",
	} {
		yes, known, err := last.is(condition)
		if got := fmt.Sprint(yes, " ", known, " ", err); got != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
	// What only the matrix runs does not exist in a plain run.
	if only, err := readVariables("# matrix: os=vm\n"); err != nil || names(variantsOf("label", only, false)) != "" || names(variantsOf("label", only, true)) != "label" {
		t.Errorf("%+v, %v", only, err)
	}
	if one := variantsOf("web", nil, false); len(one) != 1 || one[0].name != "web" {
		t.Errorf("%+v", one)
	}
	if env := factsOf(map[string]string{"change": "nginx-apache"}); !slices.Contains(env, "FROM_UNIT=nginx.service") ||
		!slices.Contains(env, "TO=apache") || !slices.Contains(env, "TO_UNIT=apache2.service") {
		t.Errorf("%q", env)
	}
	for _, bad := range []string{"# variants: server", "# variants: server=a|", "# variants: =a", "# variants: a=b a=c", "# matrix: a"} {
		if got, err := readVariables(bad); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}
