package lang

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// kind is what a generated expression is meant to be; any is whichever.
type kind int

const (
	anyKind kind = iota
	textKind
	numberKind
	boolKind
	listKind   // of strings or numbers, as tuple, list or set
	nestedKind // a list of lists
	mapKind    // an object or a map
	boolsKind  // a list of bools
	textsKind  // a list of strings
	prefixKind // a network
	timeKind
	intKind
	kinds // below are texts that a function wants in its own form, which few other expressions make
	base64Kind
	csvKind
	jsonKind
	yamlKind
	patternKind
	formatKind
	dateKind
	durationKind
	encodingKind
	spaceKind
	digitsKind
	keyKind
	listsKind // a map of lists
	widthKind // of what is not bounded in Terraform, so that it is never large
)

// signature says what a function takes; a last kind that is repeated may be given again.
type signature struct {
	name   string
	result kind
	args   []kind
	repeat bool
}

// signatures are of the functions that this language and Terraform share, without those that read
// files.
var signatures = []signature{
	{"abs", numberKind, []kind{numberKind}, false},
	{"alltrue", boolKind, []kind{boolsKind}, false},
	{"anytrue", boolKind, []kind{boolsKind}, false},
	{"base64decode", textKind, []kind{base64Kind}, false},
	{"base64encode", base64Kind, []kind{textKind}, false},
	{"base64gzip", textKind, []kind{textKind}, false},
	{"base64sha256", textKind, []kind{textKind}, false},
	{"base64sha512", textKind, []kind{textKind}, false},
	{"basename", textKind, []kind{textKind}, false},
	{"can", boolKind, []kind{anyKind}, false},
	{"ceil", numberKind, []kind{numberKind}, false},
	{"chomp", textKind, []kind{textKind}, false},
	{"chunklist", nestedKind, []kind{listKind, intKind}, false},
	{"cidrhost", textKind, []kind{prefixKind, intKind}, false},
	{"cidrnetmask", textKind, []kind{prefixKind}, false},
	{"cidrsubnet", prefixKind, []kind{prefixKind, intKind, intKind}, false},
	{"cidrsubnets", textsKind, []kind{prefixKind, intKind}, true},
	{"coalesce", anyKind, []kind{anyKind}, true},
	{"coalescelist", listKind, []kind{listKind}, true},
	{"compact", textsKind, []kind{textsKind}, false},
	{"concat", listKind, []kind{listKind}, true},
	{"contains", boolKind, []kind{listKind, anyKind}, false},
	{"csvdecode", anyKind, []kind{csvKind}, false},
	{"dirname", textKind, []kind{textKind}, false},
	{"distinct", listKind, []kind{listKind}, false},
	{"element", anyKind, []kind{listKind, intKind}, false},
	{"endswith", boolKind, []kind{textKind, textKind}, false},
	{"flatten", listKind, []kind{nestedKind}, false},
	{"floor", numberKind, []kind{numberKind}, false},
	{"format", textKind, []kind{formatKind, anyKind}, true},
	{"formatdate", textKind, []kind{dateKind, timeKind}, false},
	{"formatlist", textsKind, []kind{formatKind, listKind}, true},
	{"indent", textKind, []kind{widthKind, textKind}, false},
	{"index", numberKind, []kind{listKind, anyKind}, false},
	{"issensitive", boolKind, []kind{anyKind}, false},
	{"join", textKind, []kind{textKind, textsKind}, true},
	{"jsondecode", anyKind, []kind{jsonKind}, false},
	{"jsonencode", jsonKind, []kind{anyKind}, false},
	{"keys", textsKind, []kind{mapKind}, false},
	{"length", numberKind, []kind{anyKind}, false},
	{"log", numberKind, []kind{numberKind, numberKind}, false},
	{"lookup", anyKind, []kind{mapKind, keyKind, anyKind}, false},
	{"lookup", anyKind, []kind{mapKind, keyKind}, false},
	{"lower", textKind, []kind{textKind}, false},
	{"matchkeys", listKind, []kind{listKind, listKind, listKind}, false},
	{"max", numberKind, []kind{numberKind}, true},
	{"md5", textKind, []kind{textKind}, false},
	{"merge", mapKind, []kind{mapKind}, true},
	{"min", numberKind, []kind{numberKind}, true},
	{"nonsensitive", anyKind, []kind{anyKind}, false},
	{"one", anyKind, []kind{listKind}, false},
	{"parseint", numberKind, []kind{digitsKind, intKind}, false},
	{"pow", numberKind, []kind{numberKind, intKind}, false},
	{"range", listKind, []kind{intKind}, true},
	{"regex", anyKind, []kind{patternKind, textKind}, false},
	{"regexall", listKind, []kind{patternKind, textKind}, false},
	{"replace", textKind, []kind{textKind, textKind, textKind}, false},
	{"reverse", listKind, []kind{listKind}, false},
	{"sensitive", anyKind, []kind{anyKind}, false},
	{"setintersection", listKind, []kind{listKind}, true},
	{"setproduct", nestedKind, []kind{listKind}, true},
	{"setsubtract", listKind, []kind{listKind, listKind}, false},
	{"setunion", listKind, []kind{listKind}, true},
	{"sha1", textKind, []kind{textKind}, false},
	{"sha256", textKind, []kind{textKind}, false},
	{"sha512", textKind, []kind{textKind}, false},
	{"signum", numberKind, []kind{intKind}, false},
	{"slice", listKind, []kind{listKind, intKind, intKind}, false},
	{"sort", textsKind, []kind{textsKind}, false},
	{"split", textsKind, []kind{textKind, textKind}, false},
	{"startswith", boolKind, []kind{textKind, textKind}, false},
	{"strcontains", boolKind, []kind{textKind, textKind}, false},
	{"strrev", textKind, []kind{textKind}, false},
	{"substr", textKind, []kind{textKind, intKind, intKind}, false},
	{"sum", numberKind, []kind{listKind}, false},
	{"textdecodebase64", textKind, []kind{base64Kind, encodingKind}, false},
	{"textencodebase64", base64Kind, []kind{textKind, encodingKind}, false},
	{"timeadd", timeKind, []kind{timeKind, durationKind}, false},
	{"timecmp", numberKind, []kind{timeKind, timeKind}, false},
	{"title", textKind, []kind{textKind}, false},
	{"tobool", boolKind, []kind{anyKind}, false},
	{"tolist", listKind, []kind{anyKind}, false},
	{"tomap", mapKind, []kind{anyKind}, false},
	{"tonumber", numberKind, []kind{anyKind}, false},
	{"toset", listKind, []kind{anyKind}, false},
	{"tostring", textKind, []kind{anyKind}, false},
	{"transpose", mapKind, []kind{listsKind}, false},
	{"trim", textKind, []kind{textKind, textKind}, false},
	{"trimprefix", textKind, []kind{textKind, textKind}, false},
	{"trimspace", textKind, []kind{textKind}, false},
	{"trimsuffix", textKind, []kind{textKind, textKind}, false},
	{"try", anyKind, []kind{anyKind}, true},
	{"upper", textKind, []kind{textKind}, false},
	{"urlencode", textKind, []kind{textKind}, false},
	{"uuidv5", textKind, []kind{spaceKind, textKind}, false},
	{"values", listKind, []kind{mapKind}, false},
	{"yamldecode", anyKind, []kind{yamlKind}, false},
	{"yamlencode", yamlKind, []kind{anyKind}, false},
	{"zipmap", mapKind, []kind{textsKind, listKind}, false},
}

// generatedLocals are the local values that generated expressions refer to.
const generatedLocals = `locals {
  text      = "north holland"
  empty     = ""
  number    = 12.5
  yes       = true
  none      = null
  no_text   = tostring(null)
  no_list   = tolist(tolist(["a"])[*] == [] ? null : null)
  secret    = sensitive("s3")
  secrets   = sensitive(["a", "b"])
  mixed     = ["a", sensitive("b"), null]
  texts     = tolist(["b", "a", "", "b"])
  numbers   = tolist([3, 1, 2])
  set       = toset(["x", "y"])
  map       = tomap({ a = "1", b = "2" })
  secretmap = { a = sensitive("1"), b = 2 }
  object    = { name = "fra1", port = 22, on = true, tags = ["x", "y"], none = null }
  objects   = [{ k = "a", v = 1 }, { k = "b", v = 2 }]
  nested    = [["a"], [], ["b", ["c"]]]
  lists     = { a = ["x"], b = ["x", "y"] }
}
`

var leaves = map[kind][]string{
	textKind: {`"a"`, `"b"`, `""`, `"Hello, World"`, `"12"`, `"true"`, `"é日"`, `"a,b,,c"`, `" x \n"`, `"a\nb\n"`, `"%s-%v"`, `"%05.2f|%d"`, `"/[a-c]+/"`, `"(a)(?P<n>b)?"`,
		`"k,v\n1,2\n"`, `"{\"a\":[1,null]}"`, `"a: [1, x]\nb: ~"`, `"YQ=="`, `"UTF-16LE"`, `"dns"`, `"1h30m"`, `"YYYY-MM-DD'T'hh:mm"`, `local.text`, `local.empty`, `local.no_text`,
		`local.secret`, `local.object.name`, `"x"`, `"$1"`, `"-"`},
	numberKind: {`0`, `1`, `-1`, `2.5`, `-7.25`, `1e10`, `0.1`, `100`, `local.number`, `local.object.port`, `"3"`, `sensitive(4)`},
	intKind:    {`0`, `1`, `2`, `3`, `-1`, `8`, `10`, `16`, `1.5`, `"2"`},
	boolKind:   {`true`, `false`, `"true"`, `local.yes`, `local.object.on`, `sensitive(true)`},
	boolsKind:  {`[true, false]`, `[]`, `[true, null]`, `["true"]`, `tolist([false])`, `[sensitive(true), false]`},
	listKind: {`[]`, `["a", "b"]`, `["a"]`, `[1, 2, 3]`, `[1, "a", true]`, `[null]`, `["a", null]`, `local.texts`, `local.numbers`, `local.set`, `local.mixed`, `local.secrets`,
		`toset(["b", "a"])`, `tolist([])`, `local.objects`, `[[]]`, `[{}]`, `local.no_list`, `local.objects[*].k`},
	textsKind:  {`["a", "b"]`, `[]`, `["a", "", null]`, `local.texts`, `local.set`, `["b", "a", "b"]`, `[1, "x"]`, `local.mixed`},
	nestedKind: {`local.nested`, `[["a"], ["b"]]`, `[]`, `[[]]`, `[["a", null], "b"]`, `[toset(["x"])]`, `[[sensitive("a")]]`},
	mapKind: {`{}`, `{ a = 1 }`, `{ a = "x", b = 2 }`, `local.map`, `local.object`, `local.secretmap`, `local.lists`, `tomap({ x = 1 })`, `{ a = null }`, `tomap({})`,
		`{ (local.text) = 1 }`, `sensitive({ a = 1 })`},
	prefixKind: {`"10.0.0.0/8"`, `"192.0.2.0/24"`, `"2001:db8::/32"`, `"10.1.2.3/16"`, `"10.0.0.0"`, `"0.0.0.0/0"`},
	timeKind:   {`"2026-01-02T03:04:05Z"`, `"2025-12-31T23:59:59+02:00"`, `"2026-01-02"`, `"2024-02-29T00:00:00Z"`},
	anyKind:    {`null`, `local.none`, `local.objects`},

	base64Kind:   {`"YQ=="`, `"SGVsbG8="`, `"/w=="`, `"SABlAA=="`, `""`, `"YQ"`, `"é"`},
	csvKind:      {`"a,b\n1,2\n3,4\n"`, `"a\n"`, `"a,a\n1,2\n"`, `"a,b\n1\n"`, `"\"q\",b\n\"x,\"\"y\",2"`, `""`},
	jsonKind:     {`"{\"a\":[1,null,\"x\"],\"b\":{}}"`, `"[1, 2.50, 1e3]"`, `"\"text\""`, `"null"`, `"[]"`, `"{\"a\":"`, `"{\"a\":1,\"a\":2}"`, `"true"`, `" [1] x"`},
	yamlKind:     {`"a: [1, x]\nb: ~"`, `"- 1\n- no\n- 0x1f\n- 1e3"`, `"text"`, `"a: 2026-01-02"`, `"a: &x 1\nb: *x"`, `"a: [1"`, `"<<: {a: 1}\nb: 2"`, `"|\n a\n b\n"`, `"{}"`, `"? [a]\n: 1"`},
	patternKind:  {`"[a-z]+"`, `"(\\w)(\\d)?"`, `"(?P<x>[a-z])(?P<y>.)?"`, `"^$"`, `"."`, `"("`, `"a|b"`, `"(?i)A"`},
	formatKind:   {`"%s"`, `"%s-%v"`, `"%d|%5d|%-5d|%05d"`, `"%05.2f"`, `"%q %v"`, `"%x %o %b"`, `"%t"`, `"%%"`, `"%[2]s %[1]s"`, `"%z"`, `"%*d"`, `"%e %g"`, `"%#v"`, `"plain"`, `"%6.3s|"`},
	dateKind:     {`"YYYY-MM-DD'T'hh:mm:ssZ"`, `"EEE, D MMM YY"`, `"HH AA aa"`, `"ZZZ ZZZZ ZZZZZ"`, `"'it''s' M"`, `"YYY"`, `"x"`, `"'open"`, `""`},
	durationKind: {`"1h30m"`, `"-24h"`, `"0.5s"`, `"10"`, `"1d"`, `"1ns"`},
	encodingKind: {`"UTF-8"`, `"UTF-16LE"`, `"utf-16"`, `"ISO-8859-1"`, `"windows-1252"`, `"Shift_JIS"`, `"none"`, `"US-ASCII"`},
	spaceKind:    {`"dns"`, `"url"`, `"oid"`, `"x500"`, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, `"6BA7B8109DAD11D180B400C04FD430C8"`, `"6ba7b810"`, `"DNS"`},
	digitsKind:   {`"10"`, `"ff"`, `"-7"`, `"Zz"`, `"0x1f"`, `"0b1"`, `"1_000"`, `""`, `"+5"`, `12`},
	keyKind:      {`"a"`, `"b"`, `"name"`, `"x"`, `"missing"`, `sensitive("a")`},
	widthKind:    {`0`, `2`, `"3"`, `8`, `-1`, `1.5`, `null`},
	listsKind:    {`local.lists`, `{ a = ["x"], b = ["x", "y"] }`, `{}`, `{ a = [] }`, `{ a = ["x", "x"] }`, `{ a = [1] }`, `tomap({ a = ["z"], b = ["z"] })`, `{ a = [null] }`, `{ a = null }`},
}

// generator writes expressions. The same seed gives the same expression.
type generator struct{ *rand.Rand }

// generated is expression number n of a seed.
func generated(seed, n uint64) string {
	g := generator{rand.New(rand.NewPCG(seed, n))} //nolint:gosec // it shall be the same each time
	return g.expression(anyKind, 3)
}

func (g generator) pick(list []string) string { return list[g.IntN(len(list))] }

func (g generator) expression(k kind, depth int) string {
	if k == widthKind {
		return g.pick(leaves[k])
	}
	if g.IntN(25) == 0 { // what is not meant
		k = kind(g.IntN(int(kinds)))
	}
	if k == anyKind && g.IntN(20) > 0 {
		k = kind(1 + g.IntN(int(kinds)-1))
	}
	if depth <= 0 || g.IntN(6) == 0 {
		return g.pick(leaves[k])
	}
	switch g.IntN(14) {
	case 0:
		return g.operator(k, depth)
	case 1:
		return fmt.Sprintf("(%s ? %s : %s)", g.expression(boolKind, depth-1), g.expression(k, depth-1), g.expression(k, depth-1))
	case 2:
		return g.composed(k, depth)
	}
	return g.call(k, depth)
}

// call calls a function with a result of that kind.
func (g generator) call(k kind, depth int) string {
	var fit []signature
	untyped := g.IntN(8) == 0
	for _, s := range signatures {
		if s.result == k || s.result == anyKind && untyped || k == anyKind || k == listKind && s.result == textsKind || k == textKind && s.result > kinds {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 || k > kinds && g.IntN(3) > 0 {
		return g.pick(leaves[k])
	}
	s := fit[g.IntN(len(fit))]
	var args []string
	for _, a := range s.args {
		args = append(args, g.expression(a, depth-1))
	}
	for s.repeat && g.IntN(2) == 0 && len(args) < 4 {
		args = append(args, g.expression(s.args[len(s.args)-1], depth-1))
	}
	if g.IntN(40) == 0 {
		return fmt.Sprintf("%s(%s...)", s.name, g.expression(listKind, depth-1))
	}
	return s.name + "(" + strings.Join(args, ", ") + ")"
}

func (g generator) operator(k kind, depth int) string {
	operand := func(k kind) string { return g.expression(k, depth-1) }
	switch k {
	case numberKind, intKind:
		if g.IntN(5) == 0 {
			return "-(" + operand(numberKind) + ")"
		}
		return fmt.Sprintf("(%s %s %s)", operand(numberKind), g.pick([]string{"+", "-", "*", "/", "%"}), operand(numberKind))
	case boolKind:
		switch g.IntN(4) {
		case 0:
			return "!(" + operand(boolKind) + ")"
		case 1:
			return fmt.Sprintf("(%s %s %s)", operand(anyKind), g.pick([]string{"==", "!="}), operand(anyKind))
		case 2:
			return fmt.Sprintf("(%s %s %s)", operand(numberKind), g.pick([]string{"<", "<=", ">", ">="}), operand(numberKind))
		}
		return fmt.Sprintf("(%s %s %s)", operand(boolKind), g.pick([]string{"&&", "||"}), operand(boolKind))
	case textKind:
		return fmt.Sprintf(`"${%s}-${%s}"`, operand(textKind), operand(anyKind))
	}
	return g.call(k, depth)
}

// composed makes a value of others: lists, objects, for expressions, splats and elements.
func (g generator) composed(k kind, depth int) string {
	part := func(k kind) string { return g.expression(k, depth-1) }
	switch {
	case k == mapKind && g.IntN(2) == 0:
		return fmt.Sprintf("{ for k, v in %s : k => %s }", part(mapKind), g.pick([]string{"v", "k", "[v]", part(textKind)}))
	case k == mapKind:
		return fmt.Sprintf("{ a = %s, b = %s }", part(anyKind), part(anyKind))
	case k == listKind && g.IntN(2) == 0:
		return fmt.Sprintf("[for x in %s : x if %s]", part(listKind), g.pick([]string{"true", "x != null", "can(upper(x))", `x == "a"`, part(boolKind)}))
	case k == listKind:
		return fmt.Sprintf("[%s, %s]", part(anyKind), part(anyKind))
	case k == textKind:
		return fmt.Sprintf(`"%%{ for x in %s }${x}%%{ if %s };%%{ endif }%%{ endfor }"`, part(textsKind), part(boolKind))
	}
	switch g.IntN(4) {
	case 0:
		return fmt.Sprintf("(%s)[%s]", part(listKind), part(intKind))
	case 1:
		return fmt.Sprintf("(%s)[*]", part(anyKind))
	case 2:
		return fmt.Sprintf("(%s).a", part(mapKind))
	}
	return fmt.Sprintf("(%s)[%s]", part(mapKind), part(textKind))
}
