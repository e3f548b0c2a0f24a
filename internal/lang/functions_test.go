package lang

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// functionCases has calls with their results as JSON; "error: " is followed by a part of the message.
var functionCases = []struct{ call, want string }{
	{`abs(-1.5)`, `1.5`},
	{`alltrue([])`, `true`},
	{`alltrue(["true", true])`, `true`},
	{`alltrue([true, false])`, `false`},
	{`anytrue([])`, `false`},
	{`anytrue([false, null, true])`, `true`},
	{`base64decode("aGk=")`, `"hi"`},
	{`base64decode("!")`, `error: it is not base64`},
	{`base64decode("/w==")`, `error: not UTF-8`},
	{`base64encode("hi")`, `"aGk="`},
	{`base64sha256("hi")`, `"j0NDRmSPa5bfid2pAcUXaxCm2Dlh3TwayItZstwyeqQ="`},
	{`length(base64sha512("hi"))`, `88`},
	{`basename("/a/b")`, `"b"`},
	{`basename(abspath("x"))`, `"x"`},
	{`can(1 / 0)`, `false`},
	{`can(1 / 1)`, `true`},
	{`ceil(1.1)`, `2`},
	{`chomp("a\n\n")`, `"a"`},
	{`chunklist([1, 2, 3], 2)`, `[[1,2],[3]]`},
	{`cidrhost("10.12.112.0/20", 16)`, `"10.12.112.16"`},
	{`cidrhost("10.12.112.0/20", -1)`, `"10.12.127.255"`},
	{`cidrhost("fd00:fd12:3456:7890::/72", 34)`, `"fd00:fd12:3456:7890::22"`},
	{`cidrhost("10.0.0.0", 1)`, `error: not a network`},
	{`cidrhost("10.0.0.0/30", 9)`, `error: prefix of 30`},
	{`cidrhost("10.0.0.0/30", 1.5)`, `error: whole number`},
	{`cidrnetmask("172.16.0.0/12")`, `"255.240.0.0"`},
	{`cidrnetmask("fd00::/8")`, `error: IPv6`},
	{`cidrsubnet("172.16.0.0/12", 4, 2)`, `"172.18.0.0/16"`},
	{`cidrsubnet("172.16.0.0/12", 40, 2)`, `error: `},
	{`cidrsubnets("10.1.0.0/16", 4, 4, 8, 4)`, `["10.1.0.0/20","10.1.16.0/20","10.1.32.0/24","10.1.48.0/20"]`},
	{`cidrsubnets("10.1.0.0/30", 1, 1, 1)`, `error: no room`},
	{`cidrsubnets("10.1.0.0/30", 5)`, `error: between 1 and 2`},
	{`cidrsubnets("10.1.0.0/30")`, `[]`},
	{`coalesce(null, "", "b")`, `"b"`},
	{`coalesce("", null)`, `error: all arguments are null`},
	{`coalesce(null, 0, 2)`, `0`},
	{`coalescelist([], [1])`, `[1]`},
	{`compact(["a", "", null, "b"])`, `["a","b"]`},
	{`concat(["a"], ["b", "c"])`, `["a","b","c"]`},
	{`contains(["a", "b"], "b")`, `true`},
	{`csvdecode("a,b\n1,2\n")`, `[{"a":"1","b":"2"}]`},
	{`dirname("/a/b")`, `"/a"`},
	{`distinct(["a", "b", "a"])`, `["a","b"]`},
	{`element(["a", "b", "c"], 4)`, `"b"`},
	{`endswith("abc", "bc")`, `true`},
	{`file("here.txt")`, `"content\n"`},
	{`file("nowhere.txt")`, `error: not found`},
	{`file(".")`, `error: is a directory`},
	{`file("binary")`, `error: not UTF-8`},
	{`file("")`, `error: the path is empty`},
	{`file("/dev/zero")`, `error: not a regular file`},
	{`filebase64("binary")`, `"//4="`},
	{`filebase64sha256("here.txt")`, `"Q0copBCnj1b8G1iZw1k0NuYasMcx6QctleltspAgXlM="`},
	{`length(filebase64sha512("here.txt"))`, `88`},
	{`fileexists("here.txt")`, `true`},
	{`fileexists("nowhere.txt")`, `false`},
	{`fileexists(".")`, `error: not a regular file`},
	{`filemd5("here.txt") == md5(file("here.txt"))`, `true`},
	{`fileset(".", "*.t{xt,mpl}")`, `["empty.tmpl","here.txt","t.tmpl"]`},
	{`fileset(".", "**/[a-d]*")`, `["binary","links/dir","links/tree/deep/d","sub/deep/d"]`},
	{`fileset("sub", "**")`, `["deep/d","é"]`},
	{`fileset("sub", "?")`, `["é"]`},
	{`fileset("sub", "[^a-z]")`, `["é"]`},
	{`fileset(".", "./*.txt")`, `["here.txt"]`},
	{`fileset(".", "/here.txt")`, `["here.txt"]`},
	{`fileset("sub", "../*.txt")`, `["../here.txt"]`},
	{`fileset(".", "sub/../here.txt")`, `["here.txt"]`},
	{`fileset("sub", "../sub/é")`, `["é"]`},
	{`fileset(".", "links/*")`, `["links/dir","links/file"]`},
	{`fileset("links/tree", "*")`, `["é"]`},
	{`fileset(".", "links/*/*/*")`, `["links/loop/loop/dir","links/loop/loop/file","links/loop/tree/é","links/tree/deep/d"]`},
	{`fileset("links", "**/d")`, `["tree/deep/d"]`},
	{`fileset("links", "loop/**/file")`, `["loop/file"]`},
	{`fileset("nowhere", "*")`, `[]`},
	{`fileset("here.txt", "*")`, `[]`},
	{`fileset(".", "")`, `[]`},
	{`fileset(".", "he**")`, `["here.txt"]`},
	{`fileset(".", "sub/**/")`, `["sub/deep/d","sub/é"]`},
	{`fileset(".", "{here,t}.t{xt,mpl}")`, `["here.txt","t.tmpl"]`},
	{`fileset(".", "{sub/é,here.txt}")`, `error: not a valid pattern`},
	{`fileset(".", "[")`, `error: not closed`},
	{`fileset(path.root, "here\\.txt")`, `["here.txt"]`},
	{`fileset(".", "x*")`, `[]`},
	{`fileset(".", "[a")`, `error: not closed`},
	{`fileset(".", "{a")`, `error: not a valid pattern`},
	{`filesha1("here.txt") == sha1(file("here.txt"))`, `true`},
	{`filesha256("here.txt") == sha256(file("here.txt"))`, `true`},
	{`filesha512("here.txt") == sha512(file("here.txt"))`, `true`},
	{`flatten([["a"], [["b"], "c"]])`, `["a","b","c"]`},
	{`floor(1.9)`, `1`},
	{`format("%s=%05d %.1f%%", "a", 42, 1.25)`, `"a=00042 1.2%"`},
	{`format("%d", "x")`, `error: number`},
	{`formatdate("DD MMM YYYY hh:mm ZZZ", "2018-01-02T23:12:01Z")`, `"02 Jan 2018 23:12 UTC"`},
	{`formatlist("%s:%d", ["a", "b"], 1)`, `["a:1","b:1"]`},
	{`indent(2, "a\nb")`, `"a\n  b"`},
	{`index(["a", "b"], "b")`, `1`},
	{`index(["a"], "c")`, `error: does not contain`},
	{`index("abc", "c")`, `error: must be a list`},
	{`issensitive(sensitive("a"))`, `true`},
	{`issensitive("a")`, `false`},
	{`issensitive(nonsensitive(sensitive("a")))`, `false`},
	{`join("-", ["a", "b"], ["c"])`, `"a-b-c"`},
	{`jsondecode("{\"a\": [1, true, null]}")`, `{"a":[1,true,null]}`},
	{`jsondecode("[")`, `error: `},
	{`jsonencode({ a = [1, "x"], b = null })`, `"{\"a\":[1,\"x\"],\"b\":null}"`},
	{`keys({ b = 1, a = 2 })`, `["a","b"]`},
	{`length("é")`, `1`},
	{`length([1, 2])`, `2`},
	{`length({ a = 1 })`, `1`},
	{`length(toset(["a", "a"]))`, `1`},
	{`length(1)`, `error: must be a string`},
	{`log(8, 2)`, `3`},
	{`lookup({ a = 1 }, "a")`, `1`},
	{`lookup({ a = 1 }, "b", 2)`, `2`},
	{`lookup(tomap({ a = 1 }), "a", 2)`, `1`},
	{`lookup(tomap({ a = 1 }), "b", "3")`, `3`},
	{`lookup({ a = 1 }, "b")`, `error: no element "b"`},
	{`lookup({ a = 1 }, "b", 1, 2)`, `error: only one default`},
	{`lookup(["a"], "b")`, `error: must be a map`},
	{`lower("ABC")`, `"abc"`},
	{`matchkeys(["a", "b", "c"], ["1", "2", "1"], ["1"])`, `["a","c"]`},
	{`matchkeys(["a"], ["1", "2"], ["1"])`, `error: as many elements`},
	{`matchkeys(["a"], ["1"], ["2"])`, `[]`},
	{`max(1, 3, 2)`, `3`},
	{`max([1, 2]...)`, `2`},
	{`md5("hello world")`, `"5eb63bbbe01eeed093cb22bb8f5acdc3"`},
	{`merge({ a = 1, b = 2 }, { b = 3 })`, `{"a":1,"b":3}`},
	{`min(3, 1, 2)`, `1`},
	{`nonsensitive(sensitive("a"))`, `"a"`},
	{`nonsensitive("a")`, `"a"`},
	{`one([])`, `null`},
	{`one(["a"])`, `"a"`},
	{`one(toset(["a"]))`, `"a"`},
	{`one(["a", "b"])`, `error: at most one element`},
	{`one("a")`, `error: at most one element`},
	{`parseint("ff", 16)`, `255`},
	{`parseint("zz", 10)`, `error: cannot parse`},
	{`pathexpand("/a")`, `"/a"`},
	{`pathexpand("~/a") != "~/a"`, `true`},
	{`pow(2, 10)`, `1024`},
	{`range(3)`, `[0,1,2]`},
	{`range(1, 8, 3)`, `[1,4,7]`},
	{`regex("[a-z]+", "53453453.345345aaabbbccc23454")`, `"aaabbbccc"`},
	{`regex("(?P<year>\\d{4})-(?P<month>\\d\\d)", "2019-02")`, `{"month":"02","year":"2019"}`},
	{`regex("x", "a")`, `error: did not match`},
	{`regexall("[a-z]+", "1234abcd5678efgh9")`, `["abcd","efgh"]`},
	{`replace("1 + 2 + 3", "+", "-")`, `"1 - 2 - 3"`},
	{`replace("hello world", "/w.*d/", "everybody")`, `"hello everybody"`},
	{`replace("ab", "/(a)(b)/", "$2$1")`, `"ba"`},
	{`replace("ab", "/(/", "")`, `error: not a valid regular expression`},
	{`reverse([1, 2, 3])`, `[3,2,1]`},
	{`setintersection(["a", "b"], ["b", "c"])`, `["b"]`},
	{`setproduct(["a", "b"], [1, 2])`, `[["a",1],["a",2],["b",1],["b",2]]`},
	{`setsubtract(["a", "b"], ["b"])`, `["a"]`},
	{`setunion(["a"], ["b"])`, `["a","b"]`},
	{`sha1("hello world")`, `"2aae6c35c94fcfb415dbe95f408b9ce91ee846ed"`},
	{`sha256("hello world")`, `"b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"`},
	{`length(sha512(""))`, `128`},
	{`signum(-13)`, `-1`},
	{`slice(["a", "b", "c", "d"], 1, 3)`, `["b","c"]`},
	{`sort(["e", "d", "a"])`, `["a","d","e"]`},
	{`split(",", "a,b")`, `["a","b"]`},
	{`startswith("abc", "ab")`, `true`},
	{`strcontains("abc", "b")`, `true`},
	{`strrev("abc")`, `"cba"`},
	{`substr("hello world", 1, 4)`, `"ello"`},
	{`substr("hello", -3, -1)`, `"llo"`},
	{`sum([10, 13, "6.5"])`, `29.5`},
	{`sum([])`, `error: at least one number`},
	{`sum(["a"])`, `error: numbers`},
	{`templatefile("t.tmpl", { name = "x" })`, `"Hello x\n"`},
	{`templatefile("empty.tmpl", {})`, `""`},
	{`timeadd("2017-11-22T00:00:00Z", "10m")`, `"2017-11-22T00:10:00Z"`},
	{`timecmp("2017-11-22T00:00:00Z", "2017-11-22T01:00:00+01:00")`, `0`},
	{`timecmp("x", "2017-11-22T01:00:00+01:00")`, `error: RFC 3339`},
	{`title("hello world")`, `"Hello World"`},
	{`tobool("true")`, `true`},
	{`tobool("yes")`, `error: bool`},
	{`tolist(["a", "b", 3])`, `["a","b","3"]`},
	{`tomap({ a = "foo", b = true })`, `{"a":"foo","b":"true"}`},
	{`tonumber("1")`, `1`},
	{`tonumber("no")`, `error: number`},
	{`toset(["a", "b", 3, "a"])`, `["3","a","b"]`},
	{`tostring(1)`, `"1"`},
	{`tostring([])`, `error: string`},
	{`transpose({ a = ["1", "2"], b = ["2", "3"] })`, `{"1":["a"],"2":["a","b"],"3":["b"]}`},
	{`trim("?!hello?!", "!?")`, `"hello"`},
	{`trimprefix("helloworld", "hello")`, `"world"`},
	{`trimspace(" hello\n\n")`, `"hello"`},
	{`trimsuffix("helloworld", "world")`, `"hello"`},
	{`try({}.a, "default")`, `"default"`},
	{`try({}.a, [].b)`, `error: no expression succeeded`},
	{`upper("abc")`, `"ABC"`},
	{`urldecode("a+b%2Fc")`, `"a b/c"`},
	{`urldecode("%zz")`, `error: invalid`},
	{`urlencode("a b/ü")`, `"a+b%2F%C3%BC"`},
	{`values({ b = 1, a = 2 })`, `[2,1]`},
	{`yamldecode("a: [1, true]\nb:\n- x\n")`, `{"a":[1,true],"b":["x"]}`},
	{`yamldecode("a: [")`, `error: `},
	{`yamlencode({ a = ["x"], b = 1 })`, `"\"a\":\n- \"x\"\n\"b\": 1\n"`},
	{`zipmap(["a", "b"], [1, 2])`, `{"a":1,"b":2}`},
	{`base64gzip("hello")`, `"H4sIAAAAAAAA/8pIzcnJBwAAAP//AQAA//+GphA2BQAAAA=="`},
	{`cidrcontains("192.0.2.0/24", "192.0.2.7")`, `true`},
	{`cidrcontains("192.0.2.7/24", "192.0.3.1")`, `false`},
	{`cidrcontains("192.0.2.0/24", "192.0.2.128/25")`, `true`},
	{`cidrcontains("192.0.2.0/24", "192.0.0.0/16")`, `false`},
	{`cidrcontains("2001:db8::/32", "2001:db8::1")`, `true`},
	{`cidrcontains("2001:db8::/32", "192.0.2.1")`, `error: different address families`},
	{`cidrcontains("192.0.2.0", "192.0.2.1")`, `error: not a network`},
	{`cidrcontains("192.0.2.0/24", "x")`, `error: neither an IP address`},
	{`templatestring("a $${x} %%{ for n in l }$${n},%%{ endfor }", { x = 1, l = [1, 2] })`, `"a 1 1,2,"`},
	{`templatestring("a $${", {})`, `error: line 1: `},
	{`templatestring("$${nope(1)}", {})`, `error: line 1: call to unknown function`},
	{`templatestring("a\n$${x}", {})`, `error: line 2: `},
	{`templatestring("$${templatefile(x, {})}", {})`, `error: cannot use other templates`},
	{`templatestring("x", [])`, `error: must be a map`},
	{`textencodebase64("Hello World", "UTF-16LE")`, `"SABlAGwAbABvACAAVwBvAHIAbABkAA=="`},
	{`textencodebase64("é", "ISO-8859-1")`, `"6Q=="`},
	{`textencodebase64("€", "ISO-8859-1")`, `error: characters that ISO-8859-1 cannot encode`},
	{`textencodebase64("日本", "Shift_JIS")`, `"k/qWew=="`},
	{`textencodebase64("a", "nope")`, `error: not the IANA name`},
	{`textdecodebase64("SABlAGwAbABvACAAVwBvAHIAbABkAA==", "UTF-16LE")`, `"Hello World"`},
	{`textdecodebase64("/w==", "UTF-8")`, `error: not UTF-8 text`},
	{`textdecodebase64("!", "UTF-8")`, `error: not base64`},
	{`uuidv5("dns", "www.terraform.io")`, `"a5008fae-b28c-5ba5-96cd-82b4c53552d6"`},
	{`uuidv5("url", "https://example.org/")`, `"527dda32-a0de-5105-a042-cb475b5f7d11"`},
	{`uuidv5("oid", "1.3.6.1.4")`, `"af9d40a5-7a36-5c07-b23a-851cd99fbfa5"`},
	{`uuidv5("x500", "CN=x")`, `"955bb643-faf8-5f69-a3de-891b89fea215"`},
	{`uuidv5("6BA7B8109DAD11D180B400C04FD430C8", "x")`, `"05b16a01-46c6-56dd-bd6e-c6dfb4a1427a"`},
	{`uuidv5("nope", "x")`, `error: not a namespace`},
	// Nulls.
	{`contains(["DE"], null)`, `error: must not be null`},
	{`contains(["DE"], tostring(null))`, `false`},
	{`contains([null], tostring(null))`, `true`},
	{`index(["DE"], null)`, `error: must not be null`},
	{`index(["DE"], tostring(null))`, `error: must not be null`},
	{`matchkeys(["a"], ["x"], null)`, `error: must not be null`},
	{`setunion(["a"], null)`, `error: must not be null`},
	{`[for x in ["a", null] : x if contains(["a"], x)]`, `error: must not be null`},
	// Values of different types.
	{`matchkeys(["a", "b", "c"], [1, 2, 3], [1, "3"])`, `["a","c"]`},
	{`matchkeys(["a", "b"], [true, false], ["true"])`, `["a"]`},
	{`matchkeys(["a", "b"], ["x", "y"], [])`, `[]`},
	{`matchkeys(["a"], ["x"], [{}])`, `error: the type of the keys`},
	{`matchkeys(["a"], ["x", "y"], ["x"])`, `error: as many elements`},
	{`sum({ a = 1 })`, `error: must be a list`},
	// Marks stay on what is secret.
	{`[for x in tolist([sensitive("a"), "b"]) : issensitive(x)]`, `[true,false]`},
	{`issensitive(tomap({ a = sensitive(1), b = 2 }).b)`, `false`},
	{`issensitive(tomap({ a = sensitive(1), b = 2 }).a)`, `true`},
	{`issensitive(toset([sensitive("a"), "b"]))`, `true`},
	{`issensitive(length([sensitive("a"), "b"]))`, `false`},
	{`issensitive(length(sensitive(["a", "b"])))`, `true`},
	{`issensitive(length(sensitive("a")))`, `true`},
	{`issensitive(lookup({ a = sensitive(1), b = 2 }, "b"))`, `false`},
	{`issensitive(lookup({ a = sensitive(1), b = 2 }, "a"))`, `true`},
	{`issensitive(lookup({ a = sensitive(1) }, "c", 3))`, `false`},
	{`issensitive(lookup({ a = 1 }, "c", sensitive(3)))`, `true`},
	{`issensitive(lookup({ a = 1 }, sensitive("a")))`, `true`},
	{`[for k, v in merge({ x = 1 }, { y = sensitive(2) }) : issensitive(v)]`, `[false,true]`},
	// What cty panics about.
	{`merge(null, "a")`, `error: their types do not match`},
	{`indent(-1, "x")`, `error: must not be negative`},
	{`log(1, 1)`, `error: result is not defined`},
	{`log(-1, 2)`, `error: result is not defined`},
	{`pow(-8, 1 / 3)`, `error: result is not defined`},
	{`setunion([null], [[]])`, `error: their types do not match`},
	{`setintersection([null], [[]])`, `error: their types do not match`},
	{`setsubtract([null], [[]])`, `error: their types do not match`},
	{`zipmap([null], tolist([1]))`, `error: their types do not match`},
	// What the language itself does.
	{`"${1}${true}"`, `"1true"`},
	{`[for x in ["a", "b"] : upper(x) if x != "a"]`, `["B"]`},
	{`{ for k, v in { a = 1 } : v => k }`, `{"1":"a"}`},
	{`[{ a = 1 }, { a = 2 }][*].a`, `[1,2]`},
	{`true ? 1 : "x"`, `"1"`},
	{`!true || 1 < 2 && 3 % 2 == 1`, `true`},
	{`-(1 + 2) * 3 / 4 - 1`, `-3.25`},
}

func functionEvaluator(t *testing.T) *Evaluator {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"here.txt": "content\n", "binary": "\xff\xfe", "t.tmpl": "Hello ${name}\n", "empty.tmpl": "",
		"sub/deep/d": "", "sub/é": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "links"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"file": "../here.txt", "dir": "file", "tree": "../sub", "dangling": "nowhere", "loop": ".", "itself": "itself"} {
		if err := os.Symlink(to, filepath.Join(dir, "links", name)); err != nil {
			t.Fatal(err)
		}
	}
	return testEvaluator(dir, false)
}

// testEvaluator is an evaluator of a language that has nothing but expressions.
func testEvaluator(dir string, confine bool) *Evaluator {
	return NewEvaluator(dir, confine, func(string) string { return "" })
}

// anyName are names of which all are right.
func anyName(hcl.Traversal) *hcl.Diagnostic { return nil }

func evalText(t *testing.T, e *Evaluator, text string) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	expr, diags := parseExpression([]byte(text), "test")
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if diags = e.Check(expr, anyName); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return e.Eval(expr, &hcl.EvalContext{Functions: e.Functions, Variables: map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"root": cty.StringVal("."), "module": cty.StringVal(".")})}})
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	e := functionEvaluator(t)
	called := map[string]bool{}
	for _, tc := range functionCases {
		for _, name := range regexp.MustCompile(`[a-z0-9]+\(`).FindAllString(tc.call, -1) {
			called[strings.TrimSuffix(name, "(")] = true
		}
		v, diags := evalText(t, e, tc.call)
		if wanted, ok := strings.CutPrefix(tc.want, "error: "); ok {
			if !diags.HasErrors() || !strings.Contains(diags[0].Detail, wanted) {
				t.Errorf("%s: got %#v, %v, want an error with %q", tc.call, v, diags, wanted)
			}
			continue
		}
		if diags.HasErrors() {
			t.Errorf("%s: %v", tc.call, diags)
			continue
		}
		v, _ = v.UnmarkDeep()
		got, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			t.Errorf("%s: %v", tc.call, err)
		} else if string(got) != tc.want {
			t.Errorf("%s = %s, want %s", tc.call, got, tc.want)
		}
	}
	for name := range e.Functions {
		if !called[name] {
			t.Errorf("no case calls %s", name)
		}
	}
}

// TestArgumentsInErrors looks at where errors of arguments that are not the first are.
func TestArgumentsInErrors(t *testing.T) {
	t.Parallel()
	e := functionEvaluator(t)
	for call, argument := range map[string]string{
		`timecmp("2026-01-02T03:04:05Z", "yesterday")`: `"yesterday"`,
		`timecmp("today", "2026-01-02T03:04:05Z")`:     `"today"`,
		`fileset("sub", "[")`:                          `"["`,
		`contains(["a"], null)`:                        `null`,
		`matchkeys(["a"], ["x"], [{}])`:                `[{}]`,
		`lookup({ a = 1 }, "b")`:                       `"b"`,
	} {
		_, diags := evalText(t, e, call)
		if !diags.HasErrors() {
			t.Errorf("%s: no error", call)
			continue
		}
		if got := string(diags[0].Subject.SliceBytes([]byte(call))); !strings.Contains(argument, got) {
			t.Errorf("%s: the error is at %s, want %s", call, got, argument)
		}
	}
}

// TestUnknownElements looks at functions of collections whose elements may turn out to be equal.
func TestUnknownElements(t *testing.T) {
	t.Parallel()
	e := functionEvaluator(t)
	for _, call := range []string{`one(toset([zz, "a"]))`, `length(toset([zz, "a"]))`, `contains([zz], "a")`, `index([zz], "a")`, `matchkeys(["a"], [zz], ["x"])`} {
		expr, diags := parseExpression([]byte(call), "test")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		v, diags := e.Eval(expr, &hcl.EvalContext{Functions: e.Functions, Variables: map[string]cty.Value{"zz": cty.UnknownVal(cty.String)}})
		if diags.HasErrors() || v.IsKnown() {
			t.Errorf("%s = %#v, %v; want unknown", call, v, diags)
		}
	}
}

// TestFunctionsTakeUnknownAndSensitiveValues calls each function as the cases do, with each string argument unknown or sensitive: no call may
// panic, and what is made from a sensitive value is sensitive.
func TestFunctionsTakeUnknownAndSensitiveValues(t *testing.T) {
	t.Parallel()
	e := functionEvaluator(t)
	// What these return need not be made from the argument: an error becomes false, and elements are counted or left out.
	mayDrop := regexp.MustCompile(`^(?:can|try|length|keys|element|slice)\(`)
	literal := regexp.MustCompile(`"[^"\\$]*"`)
	for _, tc := range functionCases {
		if strings.Contains(tc.call, "nonsensitive") || strings.Contains(tc.call, "issensitive") {
			continue
		}
		for _, at := range literal.FindAllStringIndex(tc.call, -1) {
			text := tc.call[at[0]:at[1]]
			call := tc.call[:at[0]] + "(zz)" + tc.call[at[1]:]
			expr, diags := parseExpression([]byte(call), "test")
			if diags.HasErrors() {
				continue // the literal is part of a template or a key
			}
			for _, x := range []cty.Value{
				cty.UnknownVal(cty.String), cty.DynamicVal, cty.NullVal(cty.String), cty.StringVal(strings.Trim(text, `"`)).Mark(SensitiveMark),
			} {
				ctx := &hcl.EvalContext{Functions: e.Functions, Variables: map[string]cty.Value{"zz": x}}
				v, diags := e.Eval(expr, ctx)
				for _, d := range diags {
					if strings.Contains(d.Detail, "panic") || strings.Contains(d.Detail, "evaluation panicked") {
						t.Errorf("%s with %#v: %s", call, x, d.Detail)
					}
				}
				if !diags.HasErrors() && x.IsMarked() && !IsSensitive(v) && !mayDrop.MatchString(call) {
					t.Errorf("%s: the result is not sensitive", call)
				}
			}
		}
	}
}
