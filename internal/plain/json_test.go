package plain

import (
	"encoding/json"
	"testing"
)

func TestVisibleJSON(t *testing.T) {
	t.Parallel()
	text := "a\u202eb\u0085\x7f\U000e0001ü"
	doc, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	doc = VisibleJSON(doc)
	var again string
	if err := json.Unmarshal(doc, &again); err != nil || again != text || string(doc) != `"a\u202eb\u0085\u007f\udb40\udc01ü"` {
		t.Errorf("%s: %q, %v", doc, again, err)
	}
}
