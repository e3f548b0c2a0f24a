package agent

import (
	"bytes"
	"os"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

func TestSumOf(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789abcdef"), 10<<10) // more than is read at once
	dir := t.TempDir()
	write := func(name string, content []byte) *os.File {
		t.Helper()
		path := dir + "/" + name
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	write("self", content)
	e := openExecutable(dir + "/self")
	if e == nil {
		t.Fatal("not opened")
	}
	t.Cleanup(func() { closeFD(e.fd) })
	last := bytes.Clone(content)
	last[len(last)-1]++
	for name, c := range map[string]struct {
		content []byte
		size    int64 // what stat has reported
		same    bool
	}{
		"a copy":              {content, int64(len(content)), true},
		"another last byte":   {last, int64(len(content)), false},
		"another size":        {content[:100], 100, false},
		"shortened meanwhile": {content[:100], int64(len(content)), false},
		"longer meanwhile":    {append(bytes.Clone(content), 'x'), int64(len(content)), false},
		"empty":               {nil, 0, false},
	} {
		f := write("other", c.content)
		sum, same := e.sumOf(int(f.Fd()), c.size)
		if same != c.same || same && sum != digestOf(string(c.content)) {
			t.Errorf("%s: %q, %v", name, sum, same)
		}
		if rest, size, err := digest(int(f.Fd()), nil); err != nil || int(size) != len(c.content) || rest != digestOf(string(c.content)) {
			t.Errorf("%s: then the digest is %s, %d, %v", name, rest, size, err)
		}
	}
	if sum, same := (*executable)(nil).sumOf(0, 0); same {
		t.Error("no executable:", sum)
	}
}

// What is a copy of the running executable has its digest, and so has what is none.
func TestCopyOfSelf(t *testing.T) {
	t.Parallel()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte){"a copy": func([]byte) {}, "changed": func(b []byte) { b[len(b)-1]++ }} {
		content := bytes.Clone(program)
		change(content)
		path := t.TempDir() + "/copy"
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := look(-1, path, path, nil)
		if err != nil || f.Kind != wire.Regular || f.SHA256 != digestOf(string(content)) || f.Size != int64(len(content)) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}
