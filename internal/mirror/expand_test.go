package mirror_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

var update = flag.Bool("update", false, "write the golden sections of testdata")

// Each file of testdata has a mirror block's body, the host as JSON, and the parts and problems
// that come of them. Further sections are blocks of other hosts: "hub HOST ADDRESS LABEL" and
// "leaf HOST ADDRESS LABEL".
func TestExpand(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(archive.Files) < 3 || archive.Files[0].Name != "host.json" || archive.Files[1].Name != "mirror.hcl" || archive.Files[2].Name != "want" {
				t.Fatal("the sections are host.json, mirror.hcl and want")
			}
			host := readHost(t, archive.Files[0].Data)
			for _, f := range archive.Files[3:] {
				readNeighbour(t, &host, f)
			}
			spec := readSpec(t, string(archive.Files[1].Data))
			before := dump(t, spec)
			parts, problems := mirror.Expand(resources.All(), "almalinux", spec, host)
			if after := dump(t, spec); before != after {
				t.Errorf("Expand changed the spec:\n%s\n%s", before, after)
			}
			checkParts(t, parts, problems, host)
			got := show(parts, problems)
			if *update {
				archive.Files[2].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(archive.Files[2].Data); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// checkParts holds what is so for every expansion.
func checkParts(t *testing.T, parts []engine.Part, problems []engine.Problem, host engine.Site, tolerated ...string) {
	t.Helper()
	failed := slices.ContainsFunc(problems, func(p engine.Problem) bool { return p.Severity == engine.Error })
	if failed != (parts == nil) {
		t.Errorf("%d parts, problems %v", len(parts), problems)
	}
	reg := resources.All()
	onHost := map[string]bool{}
	for _, p := range parts {
		if !p.Local {
			onHost[p.Name] = true
		}
	}
	var list []*engine.Resource
	for _, p := range parts {
		r := &engine.Resource{Address: engine.Address{Part: p.Name}, Kind: reg.Kind(p.Type), State: p.State, Source: "test"}
		for _, d := range p.DependsOn {
			r.DependsOn = append(r.DependsOn, engine.Address{Part: d})
		}
		if r.Kind == nil {
			t.Fatalf("%s is of no type: %s", p.Name, p.Type)
		}
		if ps := r.Kind.Validate(p.State); len(ps) > 0 {
			t.Errorf("%s: %v", p.Name, ps)
		}
		if p.Local {
			if len(p.DependsOn) > 0 {
				t.Errorf("%s depends on %v, which are on another host", p.Name, p.DependsOn)
			}
			continue
		}
		for _, d := range p.DependsOn {
			if !onHost[d] {
				t.Errorf("%s depends on %s, which is no part", p.Name, d)
			}
		}
		if p.Name != "storage" && !slices.Contains(p.DependsOn, "storage") {
			t.Errorf("%s does not depend on storage", p.Name)
		}
		list = append(list, r)
	}
	if _, ps := engine.Order(host.Target, list); len(ps) > 0 {
		for _, p := range ps {
			if slices.ContainsFunc(tolerated, func(text string) bool { return strings.Contains(p.Summary, text) }) {
				continue
			}
			t.Errorf("order: %s", p)
		}
	}
}

// show writes parts and problems as the golden sections have them.
func show(parts []engine.Part, problems []engine.Problem) string {
	var out strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&out, "%s %s: %s\n", p.Severity, p.Attribute, p.Summary)
		if p.Detail != "" {
			fmt.Fprintf(&out, "    %s\n", p.Detail)
		}
	}
	for _, p := range parts {
		fmt.Fprintf(&out, "%s %s\n", p.Name, p.Type)
		if p.Local {
			out.WriteString("    (on host local)\n")
		}
		if len(p.DependsOn) > 0 {
			fmt.Fprintf(&out, "    (after %s)\n", strings.Join(p.DependsOn, ", "))
		}
		if p.Keep != "" {
			fmt.Fprintf(&out, "    (kept: %s)\n", p.Keep)
		}
		for _, a := range engine.Attributes(p.State, nil) {
			text, isText := a.Value.(string)
			if !isText || !strings.Contains(text, "\n") {
				value, err := json.Marshal(a.Value)
				if err != nil {
					value = []byte(err.Error())
				}
				fmt.Fprintf(&out, "    %s = %s\n", a.Name, value)
				continue
			}
			fmt.Fprintf(&out, "    %s:\n", a.Name)
			for line := range strings.Lines(text) {
				fmt.Fprintf(&out, "        |%s\n", strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return out.String()
}

func dump(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readHost(t *testing.T, data []byte) engine.Site {
	t.Helper()
	var h struct {
		Name, Address string
		Facts         wire.Facts
	}
	if err := json.Unmarshal(data, &h); err != nil {
		t.Fatal(err)
	}
	return engine.Site{Target: engine.Target{Name: h.Name, Facts: h.Facts}, Address: h.Address, Dir: "/home/me/fleet"}
}

// readNeighbour adds a block of a hub or of a leaf to a host.
func readNeighbour(t *testing.T, host *engine.Site, f txtar.File) {
	t.Helper()
	words := strings.Fields(f.Name)
	if len(words) != 4 {
		t.Fatalf("unknown section %q", f.Name)
	}
	list := &host.DependsOn
	if words[0] == "leaf" {
		list = &host.Dependents
	}
	block := engine.NeighbourBlock{Label: words[3], Spec: readSpec(t, string(f.Data)), Source: "fleet.hcl:20"}
	if i := slices.IndexFunc(*list, func(n engine.Neighbour) bool { return n.Host == words[1] }); i >= 0 {
		(*list)[i].Blocks = append((*list)[i].Blocks, block)
		return
	}
	*list = append(*list, engine.Neighbour{
		Host: words[1], Address: words[2], Source: "hosts.hcl:1", Blocks: []engine.NeighbourBlock{block},
	})
}

// readSpec reads the body of a mirror block.
func readSpec(t *testing.T, text string) *mirror.Spec {
	t.Helper()
	file, diags := hclsyntax.ParseConfig([]byte(text), "mirror.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	spec := new(mirror.Spec)
	readBody(t, file.Body.(*hclsyntax.Body), reflect.ValueOf(spec).Elem())
	return spec
}

func readBody(t *testing.T, body *hclsyntax.Body, to reflect.Value) {
	t.Helper()
	for name, a := range body.Attributes {
		value, diags := a.Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		text, err := ctyjson.Marshal(value, value.Type())
		if err != nil {
			t.Fatal(err)
		}
		into := field(t, to, name)
		switch alone := value.Type() == cty.String; { // see lang's tag one
		case alone && into.Kind() == reflect.Slice:
			text = fmt.Appendf(nil, "[%s]", text)
		case alone && into.Kind() == reflect.Map:
			text = fmt.Appendf(nil, `{"":%s}`, text)
		}
		readJSON(t, text, into)
	}
	for _, b := range body.Blocks {
		readBody(t, b.Body, settle(field(t, to, b.Type)))
	}
}

func readJSON(t *testing.T, text []byte, to reflect.Value) {
	t.Helper()
	if _, ok := to.Interface().(*mirror.Geolocation); ok {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		inner := settle(to)
		for name, member := range members {
			readJSON(t, member, field(t, inner, name))
		}
		return
	}
	if err := json.Unmarshal(text, to.Addr().Interface()); err != nil {
		t.Fatal(err)
	}
}

// settle is the struct that v is or points to.
func settle(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

// field is the field of a struct that a configuration calls name.
func field(t *testing.T, v reflect.Value, name string) reflect.Value {
	t.Helper()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("hcl"), ","); tag == name {
			return v.Field(i)
		}
	}
	t.Fatalf("there is no attribute %q", name)
	return reflect.Value{}
}
