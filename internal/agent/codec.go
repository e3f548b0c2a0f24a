package agent

import (
	"bytes"
	"encoding/json"
	"strings"
)

// encode encodes what is kept on the host, or digested there, as JSON.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // a type that JSON cannot express
	}
	return []byte(oneForm.Replace(strings.TrimSuffix(b.String(), "\n")))
}

// oneForm writes what JSON can write in several ways as helpers always have. A helper of another
// version may recover what this one has left, and compares digests of it.
var oneForm = strings.NewReplacer(`\\`, `\\`, `\t`, `\u0009`, `\r`, `\u000d`, `\b`, `\u0008`, `\f`, `\u000c`, "\x7f", `\u007f`,
	`\u2028`, "\u2028", `\u2029`, "\u2029", `\ufffd`, "\uFFFD")
