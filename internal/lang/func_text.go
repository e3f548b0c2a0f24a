package lang

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// param is a parameter of a function that takes only known values that are not null.
func param(name string, ty cty.Type) function.Parameter {
	return function.Parameter{Name: name, Type: ty}
}

// textFunction is a function of strings that returns a string. An error is reported for the first
// argument, unless it is a function.ArgError.
func textFunction(impl func(args []string) (string, error), names ...string) function.Function {
	return textTo(cty.String, func(args []string) (cty.Value, error) {
		s, err := impl(args)
		return cty.StringVal(s), err
	}, names...)
}

// testFunction is a function of strings that returns true or false.
func testFunction(impl func(args []string) bool, names ...string) function.Function {
	return textTo(cty.Bool, func(args []string) (cty.Value, error) { return cty.BoolVal(impl(args)), nil }, names...)
}

func textTo(result cty.Type, impl func(args []string) (cty.Value, error), names ...string) function.Function {
	spec := &function.Spec{Type: function.StaticReturnType(result)}
	for _, n := range names {
		spec.Params = append(spec.Params, param(n, cty.String))
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		texts := make([]string, len(args))
		for i, a := range args {
			texts[i] = a.AsString()
		}
		v, err := impl(texts)
		var about function.ArgError
		if err != nil && !errors.As(err, &about) {
			err = function.NewArgError(0, err)
		}
		return v, err
	}
	return function.New(spec)
}

var textFunctions = map[string]function.Function{
	"base64decode": textFunction(decodeBase64, "str"),
	"base64encode": textFunction(func(a []string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(a[0])), nil }, "str"),
	"base64sha256": hashFunction(sha256.New, base64.StdEncoding.EncodeToString),
	"base64sha512": hashFunction(sha512.New, base64.StdEncoding.EncodeToString),
	"endswith":     testFunction(func(a []string) bool { return strings.HasSuffix(a[0], a[1]) }, "str", "suffix"),
	"md5":          hashFunction(md5.New, hex.EncodeToString),
	"replace":      replaceFunction,
	"sha1":         hashFunction(sha1.New, hex.EncodeToString),
	"sha256":       hashFunction(sha256.New, hex.EncodeToString),
	"sha512":       hashFunction(sha512.New, hex.EncodeToString),
	"startswith":   testFunction(func(a []string) bool { return strings.HasPrefix(a[0], a[1]) }, "str", "prefix"),
	"strcontains":  testFunction(func(a []string) bool { return strings.Contains(a[0], a[1]) }, "str", "substr"),
	"timecmp":      textTo(cty.Number, compareTimes, "timestamp_a", "timestamp_b"),
	"urldecode":    textFunction(decodeURL, "str"),
	"urlencode":    textFunction(func(a []string) (string, error) { return url.QueryEscape(a[0]), nil }, "str"),
}

func hashFunction(newHash func() hash.Hash, encode func([]byte) string) function.Function {
	return textFunction(func(a []string) (string, error) { return digest(newHash, encode, []byte(a[0])), nil }, "str")
}

func digest(newHash func() hash.Hash, encode func([]byte) string, content []byte) string {
	h := newHash()
	h.Write(content)
	return encode(h.Sum(nil))
}

func decodeBase64(a []string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(a[0])
	if err != nil {
		return "", fmt.Errorf("it is not base64: %w", err)
	}
	if !utf8.Valid(decoded) {
		return "", fmt.Errorf("the decoded bytes are not UTF-8 text")
	}
	return string(decoded), nil
}

func decodeURL(a []string) (string, error) {
	decoded, err := url.QueryUnescape(a[0])
	if err == nil && !utf8.ValidString(decoded) {
		err = fmt.Errorf("the decoded bytes are not UTF-8 text")
	}
	return decoded, err
}

func compareTimes(a []string) (cty.Value, error) {
	var times [2]time.Time
	for i := range times {
		t, err := time.Parse(time.RFC3339, a[i])
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(i,
				"%q is not a timestamp in the format of RFC 3339, such as 2026-01-02T15:04:05Z", a[i])
		}
		times[i] = t
	}
	return cty.NumberIntVal(int64(times[0].Compare(times[1]))), nil
}

// replaceFunction replaces a substring. A substring between slashes is a regular expression.
var replaceFunction = function.New(&function.Spec{
	Params: []function.Parameter{param("str", cty.String), param("substr", cty.String), param("replace", cty.String)},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		s, substr, replacement := args[0].AsString(), args[1].AsString(), args[2].AsString()
		pattern, ok := slashed(substr)
		if !ok {
			return cty.StringVal(strings.ReplaceAll(s, substr, replacement)), nil
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return cty.UnknownVal(cty.String), function.NewArgErrorf(1, "it is not a valid regular expression: %s", err)
		}
		return cty.StringVal(re.ReplaceAllString(s, replacement)), nil
	},
})

func slashed(s string) (string, bool) {
	if len(s) > 1 && s[0] == '/' && s[len(s)-1] == '/' {
		return s[1 : len(s)-1], true
	}
	return s, false
}

// limitReplace bounds the result of replace. Each match adds one replacement, and each group in the
// replacement ($1) adds at most the whole text.
func limitReplace(args []cty.Value) error {
	s, ok := text(args, 0)
	substr, also := text(args, 1)
	replacement, too := text(args, 2)
	if !ok || !also || !too {
		return nil
	}
	matches, groups := 0, 0
	if pattern, isPattern := slashed(substr); !isPattern {
		matches = strings.Count(s, substr)
	} else if re, err := regexp.Compile(pattern); err == nil {
		if matches = len(s) + 1; matches*len(replacement) > maxValue {
			matches = len(re.FindAllStringIndex(s, -1))
		}
		groups = strings.Count(replacement, "$")
	}
	if len(s)+matches*len(replacement)+groups*len(s) > 2*maxValue {
		return errResultTooLarge
	}
	return nil
}
