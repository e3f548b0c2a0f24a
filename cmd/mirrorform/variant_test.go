package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// A script's variants are data in its first lines, which are comments:
//
//	# variants: server=nginx|apache|caddy
//
// The script runs once for each value, or for each combination where there are several variables.
// The test has the script's name, and the values that are not the first ones: TestLab/trees,
// TestLab/trees-apache. In the script,
//
//	$SERVER           is the value
//	[server:apache]   is whether it is that one: [!server:caddy] is for all others
//
// and what variantEnv has for the value is in the environment, too.

// variantEnv has what differs between the values of a variable, by VARIABLE=VALUE.
var variantEnv = map[string][]string{
	"server=nginx": {
		"SERVER_NAME=nginx", "SERVER_PACKAGE=nginx", "SERVER_UNIT=nginx.service", "SERVER_CONF=/etc/nginx",
		"SERVER_SITES=/etc/nginx/conf.d/", "SERVER_SUFFIX=.conf", "SERVER_PART=",
		"SERVER_CHECK=nginx -t", "SERVER_RELOAD=systemctl reload nginx",
	},
	"server=apache": {
		"SERVER_NAME=Apache", "SERVER_PACKAGE=apache2", "SERVER_UNIT=apache2.service", "SERVER_CONF=/etc/apache2",
		"SERVER_SITES=/etc/apache2/sites-enabled/zz-", "SERVER_SUFFIX=.conf", "SERVER_PART=apache_",
		"SERVER_CHECK=apache2ctl -t", "SERVER_RELOAD=systemctl reload apache2",
	},
	"server=caddy": {
		"SERVER_NAME=Caddy", "SERVER_PACKAGE=caddy", "SERVER_UNIT=caddy.service", "SERVER_CONF=/etc/caddy",
		"SERVER_SITES=/etc/caddy/Caddyfile.d/", "SERVER_SUFFIX=.caddyfile", "SERVER_PART=caddy_",
		"SERVER_CHECK=runuser -u caddy -- caddy validate --config /etc/caddy/Caddyfile",
		"SERVER_RELOAD=caddy reload --force --config /etc/caddy/Caddyfile",
	},
}

// A change from one server to another has what differs as FROM_… and TO_….
func init() {
	for _, change := range [][2]string{{"nginx", "apache"}, {"apache", "caddy"}, {"caddy", "nginx"}} {
		var env []string
		for i, end := range []string{"FROM", "TO"} {
			env = append(env, end+"="+change[i])
			for _, v := range variantEnv["server="+change[i]] {
				env = append(env, strings.Replace(v, "SERVER", end, 1))
			}
		}
		variantEnv["change="+change[0]+"-"+change[1]] = env
	}
}

// variable is one that a script has variants for.
type variable struct {
	name   string
	values []string
}

// variant is one run of a script.
type variant struct {
	name      string // of the test
	variables []variable
	values    map[string]string // by name of the variable
}

// readVariables reads the first lines of a script.
func readVariables(script string) (variables []variable, err error) {
	for lines := bufio.NewScanner(strings.NewReader(script)); lines.Scan(); {
		line, ok := strings.CutPrefix(lines.Text(), "#")
		if !ok {
			break
		}
		words, ok := strings.CutPrefix(line, " variants:")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(words) {
			name, list, _ := strings.Cut(word, "=")
			values := strings.Split(list, "|")
			known := func(v variable) bool { return v.name == name }
			if name == "" || slices.Contains(values, "") || slices.ContainsFunc(variables, known) {
				return nil, fmt.Errorf("%q is not a variable with its values, VARIABLE=VALUE|VALUE", word)
			}
			variables = append(variables, variable{name, values})
		}
	}
	return variables, nil
}

// variantsOf returns the variants of a script: one without values where it has no variables.
func variantsOf(name string, variables []variable) []variant {
	all := []variant{{name, variables, map[string]string{}}}
	for _, v := range variables {
		var next []variant
		for _, before := range all {
			for i, value := range v.values {
				one := variant{before.name, variables, map[string]string{v.name: value}}
				for k, had := range before.values {
					one.values[k] = had
				}
				if i > 0 {
					one.name += "-" + value
				}
				next = append(next, one)
			}
		}
		all = next
	}
	return all
}

// environment returns the variables of a variant's script.
func (v *variant) environment() (env []string) {
	for _, of := range v.variables {
		value := v.values[of.name]
		env = append(env, strings.ToUpper(of.name)+"="+value)
		env = append(env, variantEnv[of.name+"="+value]...)
	}
	return env
}

// is answers the condition VARIABLE:VALUE. known is whether the script has that variable.
func (v *variant) is(condition string) (yes, known bool, err error) {
	name, value, _ := strings.Cut(condition, ":")
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
		for _, v := range variantsOf(strings.TrimSuffix(filepath.Base(file), ".txtar"), variables) {
			link := filepath.Join(links, v.name+".txtar")
			if err := os.Symlink(file, link); err != nil {
				t.Fatal(err)
			}
			testscript.Run(t, v.params(params, link))
		}
	}
	params.Files = plain
	testscript.Run(t, params)
}

// params returns the parameters for a variant's script.
func (v *variant) params(of testscript.Params, file string) testscript.Params {
	p := of
	p.Files = []string{file}
	p.Setup = func(env *testscript.Env) error {
		env.Vars = append(env.Vars, v.environment()...)
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
	variables, err := readVariables("# A script.\n# variants: server=nginx|apache os=debian12|el9\nboot fra1\n# variants: no=more\n")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	all := variantsOf("trees", variables)
	for _, v := range all {
		names = append(names, v.name)
	}
	if want := []string{"trees", "trees-el9", "trees-apache", "trees-apache-el9"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	last := all[3]
	if env := last.environment(); !slices.Contains(env, "SERVER=apache") || !slices.Contains(env, "OS=el9") || !slices.Contains(env, "SERVER_UNIT=apache2.service") {
		t.Errorf("%q", env)
	}
	for condition, want := range map[string]string{
		"server:apache": "true true <nil>", "server:nginx": "false true <nil>", "ipv6": "false false <nil>",
		"os:el8": "false true condition os:el8: os is one of debian12, el9",
	} {
		yes, known, err := last.is(condition)
		if got := fmt.Sprint(yes, " ", known, " ", err); got != want {
			t.Errorf("%s: %s, want %s", condition, got, want)
		}
	}
	if one := variantsOf("web", nil); len(one) != 1 || one[0].name != "web" {
		t.Errorf("%+v", one)
	}
	for _, bad := range []string{"# variants: server", "# variants: server=a|", "# variants: =a", "# variants: a=b a=c"} {
		if got, err := readVariables(bad); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}
