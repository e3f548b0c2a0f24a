package lang

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// The expressions that are compared: those of recordedSeed with recorded results, and where there
// is a terraform, sampleSize of sampleSeed with what it says now. MIRRORFORM_DIFFERENTIAL=COUNT, or
// COUNT,SEED, compares as many.
const (
	recordedSeed   = 1
	recordedCount  = 1000
	sampleSeed     = 2
	sampleSize     = 300
	batchSize      = 500
	recordedPath   = "testdata/terraform.txt"
	differential   = "MIRRORFORM_DIFFERENTIAL"
	failedMark     = `"!error"`
	tooManyToPrint = 40
)

const reasonNull = "a function that has no result for a null is an error, where Terraform says `(known after apply)`"

// explained lists what differs from Terraform 1.11 on purpose, by the expressions in which it
// matters. Each reason stands in docs/language.md.
var explained = []struct {
	expression *regexp.Regexp
	differs    func(ours, theirs string) bool
	reason     string
}{
	{regexp.MustCompile(""), func(_, theirs string) bool { return strings.Contains(theirs, "(known after apply)") }, reasonNull},
	{regexp.MustCompile(`(?s)format(list)?\(.*(null|none)`), anyDifference, reasonNull}, // such a value is not looked at
	{regexp.MustCompile(`&&|\|\|`), anyDifference, "`&&` and `||` have a result where one operand decides it, even if the other one is an error"},
	{regexp.MustCompile(`contains\(`), weAnswer, "`contains` takes a null that has a type"},
	{regexp.MustCompile(`element\(`), anyDifference, "`element` counts from the end where the index is negative"},
	{regexp.MustCompile(`cidrsubnet\(`), anyDifference, "`cidrsubnet` refuses negative numbers, which Terraform turns into networks outside of the one given"},
	{regexp.MustCompile(`cidrsubnets\(`), anyDifference, "`cidrsubnets` splits `0.0.0.0/0`"},
	{regexp.MustCompile(`/|log\(|pow\(`), anyDifference, "a number is never infinite: `1 / 0` and `log(0, 2)` are errors"},
}

func anyDifference(_, _ string) bool    { return true }
func weAnswer(ours, theirs string) bool { return ours != failedMark && theirs == failedMark }

// TestExplained looks for each reason in the documentation.
func TestExplained(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/language.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ToLower(strings.Join(strings.Fields(string(doc)), " "))
	for _, e := range explained {
		if !strings.Contains(text, strings.ToLower(e.reason)) {
			t.Errorf("docs/language.md does not have: %s", e.reason)
		}
	}
}

// TestRecordedDifferential compares values, errors and marks with those that Terraform gave.
func TestRecordedDifferential(t *testing.T) {
	t.Parallel()
	if *update {
		recordDifferential(t)
	}
	recorded, err := os.ReadFile(recordedPath)
	if err != nil {
		t.Fatal(err)
	}
	expressions := generatedRange(recordedSeed, recordedCount)
	compareResults(t, expressions, ourResults(t, expressions), splitResults(string(recorded)))
}

// TestDifferential compares with the terraform on the PATH, if there is one;
// TestRecordedDifferential is for machines that have none.
func TestDifferential(t *testing.T) {
	t.Parallel()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Log("terraform not found: only recorded results are compared")
		return
	}
	count, seed := sampleSize, uint64(sampleSeed)
	if text := os.Getenv(differential); text != "" {
		if n, err := fmt.Sscanf(text, "%d,%d", &count, &seed); err != nil && n < 1 {
			t.Fatalf("%s=%s: it is COUNT or COUNT,SEED", differential, text)
		}
	}
	for expressions := range slices.Chunk(generatedRange(seed, count), batchSize) {
		compareResults(t, expressions, ourResults(t, expressions), splitResults(theirText(t, terraform, expressions)))
	}
}

func generatedRange(seed uint64, count int) []string {
	list := make([]string, count)
	for n := range list {
		list[n] = generated(seed, uint64(n)) //nolint:gosec // it is small
	}
	return list
}

func recordDifferential(t *testing.T) {
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Fatalf("-update needs terraform: %v", err)
	}
	text := theirText(t, terraform, generatedRange(recordedSeed, recordedCount))
	if err := os.WriteFile(recordedPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// compareResults reports the differences that are not explained.
func compareResults(t *testing.T, expressions, ours, theirs []string) {
	t.Helper()
	if len(theirs) != len(expressions) || len(ours) != len(expressions) {
		t.Fatalf("%d expressions have %d results of ours and %d of Terraform", len(expressions), len(ours), len(theirs))
	}
	unexplained := 0
	for i, expression := range expressions {
		if ours[i] == theirs[i] || isExplained(expression, ours[i], theirs[i]) {
			continue
		}
		if unexplained++; unexplained <= tooManyToPrint {
			t.Errorf("%s\nours:      %s\nTerraform: %s", expression, ours[i], theirs[i])
		}
	}
	if unexplained > tooManyToPrint {
		t.Errorf("%d more differences", unexplained-tooManyToPrint)
	}
}

func isExplained(expression, ours, theirs string) bool {
	for _, e := range explained {
		if e.expression.MatchString(expression) && e.differs(ours, theirs) {
			return true
		}
	}
	return false
}

var update = flag.Bool("update", false, "rewrite the recorded results in testdata")

// evaluatedLocals evaluates a file of local values; the context has them.
func evaluatedLocals(t *testing.T, text string) (*Evaluator, *hcl.EvalContext) {
	t.Helper()
	e := testEvaluator(t.TempDir(), false)
	body, diags := parseConfig([]byte(text), "locals.hcl")
	locals := NewLocals(e)
	for _, b := range body.Blocks {
		diags = append(diags, locals.Declare(b)...)
	}
	context := func(hclsyntax.Expression) *hcl.EvalContext {
		return &hcl.EvalContext{Functions: e.Functions, Variables: map[string]cty.Value{"local": cty.ObjectVal(locals.Values)}}
	}
	diags = append(diags, locals.Check(anyName)...)
	if diags = append(diags, EvaluateInOrder(locals.Definitions(context))...); diags.HasErrors() {
		t.Fatal(diags)
	}
	return e, context(nil)
}

// ourResults evaluates the expressions, and writes the results as Terraform's console does.
func ourResults(t *testing.T, expressions []string) []string {
	t.Helper()
	e, ctx := evaluatedLocals(t, generatedLocals)
	var elems []cty.Value
	for i, text := range expressions {
		expr, diags := parseExpression([]byte("["+text+"]"), "generated")
		if diags.HasErrors() {
			t.Fatalf("%s: %v", text, diags)
		}
		result := cty.StringVal(strings.Trim(failedMark, `"`))
		if diags = e.Check(expr, anyName); !diags.HasErrors() {
			v, evalDiags := e.Eval(expr, ctx)
			if diags = evalDiags; !diags.HasErrors() {
				result = v
			}
		}
		for _, d := range diags {
			if strings.Contains(d.Detail, "evaluation panicked") || strings.Contains(d.Detail, "goroutine") {
				t.Errorf("%s: %s", text, d.Detail)
			}
		}
		elems = append(elems, cty.StringVal("@"+strconv.Itoa(i)), result)
	}
	var b strings.Builder
	consoleText(&b, cty.TupleVal(elems), "")
	return splitResults(b.String())
}

// theirText is what Terraform's console prints for a list of the expressions, each after its
// number.
func theirText(t *testing.T, terraform string, expressions []string) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString(generatedLocals + "locals {\n  results = [\n")
	for i, text := range expressions {
		fmt.Fprintf(&b, "    \"@%d\", try([%s], %s),\n", i, text, failedMark)
	}
	b.WriteString("  ]\n}\n")
	for name, content := range map[string]string{"main.tf": b.String(), "terraformrc": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, terraform, "console", "-no-color")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("local.results\n")
	cmd.Env = append(os.Environ(), "HOME="+dir, "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "terraformrc"), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("terraform console: %v\n%s\n%s", err, stderr.String(), out)
	}
	return string(out)
}

var resultMark = regexp.MustCompile(`^  "@[0-9]+",$`)

// splitResults cuts the text of a list into the results between the numbers.
func splitResults(text string) []string {
	var results []string
	in := bufio.NewScanner(strings.NewReader(text))
	in.Buffer(nil, 1<<24)
	for in.Scan() {
		line := in.Text()
		switch {
		case resultMark.MatchString(line):
			results = append(results, "")
		case len(results) > 0 && line != "]":
			results[len(results)-1] += strings.TrimSuffix(strings.TrimPrefix(line, "  "), ",") + "\n"
		}
	}
	for i := range results {
		results[i] = strings.TrimSpace(results[i])
	}
	return results
}

// consoleText writes a value as Terraform's console does.
func consoleText(b *strings.Builder, v cty.Value, indent string) {
	ty := v.Type()
	inner := indent + "  "
	elements := func(open, end string) {
		if v.LengthInt() == 0 {
			b.WriteString(open + end)
			return
		}
		b.WriteString(open + "\n")
		for it := v.ElementIterator(); it.Next(); {
			key, e := it.Element()
			b.WriteString(inner)
			if ty.IsMapType() || ty.IsObjectType() {
				consoleText(b, key, inner)
				b.WriteString(" = ")
			}
			consoleText(b, e, inner)
			if !ty.IsMapType() && !ty.IsObjectType() {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		b.WriteString(indent + end)
	}
	switch {
	case v.IsMarked():
		b.WriteString("(sensitive value)")
	case !v.IsKnown():
		b.WriteString("(known after apply)")
	case v.IsNull():
		b.WriteString(consoleNull(ty))
	case ty == cty.String && strings.Contains(v.AsString(), "\n"):
		b.WriteString("<<-EOT\n")
		for _, line := range strings.Split(v.AsString(), "\n") {
			b.WriteString(indent + line + "\n")
		}
		b.WriteString(indent + "EOT")
	case ty == cty.String:
		b.WriteString(strconv.Quote(v.AsString()))
	case ty == cty.Number:
		b.WriteString(v.AsBigFloat().Text('f', -1))
	case ty == cty.Bool:
		b.WriteString(strconv.FormatBool(v.True()))
	case ty.IsTupleType():
		elements("[", "]")
	case ty.IsObjectType():
		elements("{", "}")
	case ty.IsListType():
		elements("tolist([", "])")
	case ty.IsSetType():
		elements("toset([", "])")
	case ty.IsMapType():
		elements("tomap({", "})")
	}
}

func consoleNull(ty cty.Type) string {
	switch {
	case ty == cty.DynamicPseudoType:
		return "null"
	case ty.IsPrimitiveType():
		return "to" + ty.FriendlyName() + "(null)"
	case ty.IsListType():
		return "tolist(null) /* of " + ty.ElementType().FriendlyName() + " */"
	case ty.IsSetType():
		return "toset(null) /* of " + ty.ElementType().FriendlyName() + " */"
	case ty.IsMapType():
		return "tomap(null) /* of " + ty.ElementType().FriendlyName() + " */"
	}
	return "null /* " + ty.FriendlyName() + " */"
}
