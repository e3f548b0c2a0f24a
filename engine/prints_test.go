package engine

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// What a link leads to is not what an operation on the link's path would change.
func TestFollowedIsNotExpected(t *testing.T) {
	t.Parallel()
	link := wire.Query{Verb: wire.AskFile, Arg: "/etc/link"}
	followed := link
	followed.Option = "follow-content"
	got, err := NewAnswers([]wire.Query{link, followed}, []wire.Answer{
		{File: &wire.File{Kind: wire.Symlink, Fingerprint: "link"}}, {File: &wire.File{Kind: wire.Regular, Fingerprint: "file"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.prints[link.Arg] != "link" {
		t.Errorf("expected: %q", got.prints[link.Arg])
	}
	if f, err := got.File(followed); err != nil || f.Fingerprint != "file" {
		t.Errorf("%+v, %v", f, err)
	}
}
