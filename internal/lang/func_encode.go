package lang

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
)

var encodingFunctions = map[string]function.Function{
	"base64gzip":       textFunction(gzipBase64, "str"),
	"textdecodebase64": textFunction(decodeText, "source", "encoding"),
	"textencodebase64": textFunction(encodeText, "string", "encoding"),
	"uuidv5":           textFunction(uuidV5, "namespace", "name"),
}

// gzipBase64 flushes before it closes, like Terraform, so that both return the same bytes.
func gzipBase64(a []string) (string, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(a[0]))
	if err := errors.Join(err, w.Flush(), w.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

func encodeText(a []string) (string, error) {
	enc, err := encodingNamed(a[1])
	if err != nil {
		return "", err
	}
	encoded, err := enc.NewEncoder().Bytes([]byte(a[0]))
	if err != nil {
		return "", fmt.Errorf("it has characters that %s cannot encode", a[1])
	}
	return base64.StdEncoding.EncodeToString(encoded), nil
}

func decodeText(a []string) (string, error) {
	enc, err := encodingNamed(a[1])
	if err != nil {
		return "", err
	}
	encoded, err := base64.StdEncoding.DecodeString(a[0])
	if err != nil {
		return "", fmt.Errorf("it is not base64: %w", err)
	}
	decoded, err := enc.NewDecoder().Bytes(encoded)
	if err != nil || !utf8.Valid(decoded) || bytes.ContainsRune(decoded, utf8.RuneError) {
		return "", fmt.Errorf("the decoded bytes are not %s text", a[1])
	}
	return string(decoded), nil
}

func encodingNamed(name string) (encoding.Encoding, error) {
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil {
		return nil, function.NewArgErrorf(1, "%q is not the IANA name of a supported encoding, such as UTF-16LE", name)
	}
	return enc, nil
}

// The predefined namespaces of RFC 9562, section 6.6.
var uuidNamespaces = map[string]string{
	"dns":  "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
	"url":  "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
	"oid":  "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
	"x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
}

// uuidV5 returns the version 5 UUID of a name in a namespace: dns, url, oid, x500 or a UUID.
func uuidV5(a []string) (string, error) {
	text := a[0]
	if known, ok := uuidNamespaces[text]; ok {
		text = known
	}
	space, ok := parseUUID(text)
	if !ok {
		return "", fmt.Errorf("%q is not a namespace: use dns, url, oid, x500 or a UUID", a[0])
	}
	sum := sha1.Sum(append(space, a[1]...))
	sum[6] = sum[6]&0x0f | 0x50 // the version
	sum[8] = sum[8]&0x3f | 0x80 // the variant
	id := hex.EncodeToString(sum[:16])
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-"), nil
}

// parseUUID parses a UUID in the form of RFC 9562, or the same without dashes.
func parseUUID(text string) ([]byte, bool) {
	digits := text
	if len(text) == 36 {
		if text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
			return nil, false
		}
		digits = strings.ReplaceAll(text, "-", "")
	}
	id, err := hex.DecodeString(digits)
	return id, err == nil && len(id) == 16
}
