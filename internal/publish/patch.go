package publish

import (
	"bytes"
	"cmp"
	"fmt"
	"net/mail"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Patch returns a change as a message that git-am(1) applies, with upstream's newest commit as its
// base. It has the text of the commit that Apply would make.
//
// The author is that of $GIT_AUTHOR_NAME and $GIT_AUTHOR_EMAIL, or the entry's sponsor and its
// address.
func (s *Session) Patch(c *Change) ([]byte, error) {
	from := mail.Address{
		Name:    cmp.Or(lookupEnv(s.o.Environ, "GIT_AUTHOR_NAME"), c.Entry.File.Sponsor),
		Address: cmp.Or(lookupEnv(s.o.Environ, "GIT_AUTHOR_EMAIL"), c.Entry.File.Email),
	}
	if from.Name == "" || from.Address == "" || strings.ContainsAny(from.Name+from.Address, "<>\r\n\x00") {
		return nil, fmt.Errorf("%s: a patch needs an author; set GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL", c.Entry.File.Name)
	}
	subject, body, _ := strings.Cut(c.message(), "\n\n")
	var b bytes.Buffer
	// The first line is the same in all patches, apart from the commit's name (git-format-patch(1),
	// --zero-commit); git-mailsplit(1) separates them by it.
	fmt.Fprintf(&b, "From %040d Mon Sep 17 00:00:00 2001\n", 0)
	fmt.Fprintf(&b, "From: %s\n", from.String())
	fmt.Fprintf(&b, "Date: %s\n", s.o.Now().UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	fmt.Fprintf(&b, "Subject: [PATCH] %s\n", subject)
	b.WriteString("MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n")
	b.WriteString(body + "---\n\n")
	b.WriteString(c.diff())
	b.WriteString("-- \nmirrorform\n\n")
	return b.Bytes(), nil
}

// diff returns the change as git diff prints it, with the names of both contents, so that git am
// --3way works.
func (c *Change) diff() string {
	before, after := quotedPath("a/"+c.Path), quotedPath("b/"+c.Path)
	header := fmt.Sprintf("diff --git %s %s\n", before, after)
	none := strings.Repeat("0", 40)
	switch {
	case c.Before == nil:
		header += fmt.Sprintf("new file mode %s\nindex %s..%s\n", c.mode, none, blobName(c.After))
		before = "/dev/null"
	case c.After == nil:
		header += fmt.Sprintf("deleted file mode %s\nindex %s..%s\n", c.mode, blobName(c.Before), none)
		after = "/dev/null"
	default:
		header += fmt.Sprintf("index %s..%s %s\n", blobName(c.Before), blobName(c.After), c.mode)
	}
	return header + udiff.Unified(before, after, string(c.Before), string(c.After))
}

// quotedPath returns a path as git writes it in a diff: quoted if it has other characters than
// those that stand for themselves (git-config(1), core.quotePath).
func quotedPath(path string) string {
	var b strings.Builder
	quote := false
	for _, c := range []byte(path) {
		switch {
		case c == '"' || c == '\\':
			quote = true
			b.WriteString(`\` + string(rune(c)))
		case c <= ' ' || c > '~':
			quote = true
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	if quote {
		return `"` + b.String() + `"`
	}
	return path
}
