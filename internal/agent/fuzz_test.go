package agent

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// FuzzFrames reads any bytes as frames, and what encoding/json takes of them as a message. Neither
// panics, and every message is the same to both.
func FuzzFrames(f *testing.F) {
	for _, body := range []string{
		`{}`, `null`, `{"do":{"ops":[{"op":{"run":{"argv":["$(touch /pwn-1)","a\u0000b","\ud800"]}}}]}}`, `{"ask":{"queries":[{"verb":"file","arg":"../../etc/shadow"}]}}`,
		`{"event":{"error":"\u001b]52;c;Zm9v\u0007","output":"\u009b31m\r\u202e"}}`, `{"HELLO":{"Protocol":1},"hello":{"nonce":"x"}}`, strings.Repeat("[", 2000), `{"x":` + strings.Repeat(`{"x":`, 100),
		`{"answers":{"answers":[{"file":{"content":"","has_content":true}},{"file":{"mode":4294967295,"size":-1}},{"http":{"unverified":"\u001b[2J","missing":true}},{"listeners":{"sockets":[{"port":-1,"program":"\ud800"}],"hidden":true}}]}}`,
	} {
		f.Add(append([]byte{0, 0, byte(len(body) >> 8), byte(len(body))}, body...))
	}
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte("\x02\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frames := bytes.NewReader(data)
		for {
			m, err := wire.Read(frames)
			if err != nil {
				break
			}
			compare(t, m)
		}
		var m wire.Message
		if json.Unmarshal(data, &m) == nil {
			compare(t, &m)
		}
	})
}

// FuzzFstab writes any mount point and options into a file of any text: fstab(5) reads one line for that mount point, with exactly
// these options, and everything else as before.
func FuzzFstab(f *testing.F) {
	for _, path := range []string{"/srv/a b", "/srv/a\tb", "/srv/#x", `/srv/a\040b`, `/srv/\`, "/etc", "/srv/a\nb", "/srv/$(touch /pwn-1)", "/srv/ü", "/srv/\u200bx", "/srv/a\u00a0b", "/srv/a\fb"} {
		f.Add("# comment\nUUID=1 / xfs defaults 0 1\nproc /proc proc", path, "noatime")
	}
	for _, option := range []string{"a,b", "x y", "a=b", "#", `"x"`, `\`, "", "noauto", "comment=$(touch /pwn-2)", "a\nb"} {
		f.Add("/dev/a /srv\\040a ext4 defaults 0 2 # x\n", "/srv/a", option)
	}
	f.Fuzz(func(t *testing.T, text, path, option string) {
		options := []string{option, "nofail"}
		if path == "" || path[0] != '/' || strings.ContainsAny(path, "\x00") || checkOptions(options) != nil {
			return
		}
		line := "UUID=1 " + escape(path) + " xfs " + strings.Join(options, ",") + " 0 0"
		// fstab(5): fields are separated by tabs or spaces, and the line ends with a newline.
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
		if len(fields) != 6 || strings.ContainsAny(line, "\n") || unescape(fields[1]) != path || fields[1][0] == '#' || fields[3] != option+",nofail" {
			t.Fatalf("%q, %q are written as %q", path, option, line)
		}
		lines := fstabLines(line)
		if len(lines) != 1 || len(lines[0].fields) != 6 {
			t.Fatalf("%q is read as %+v", line, lines)
		}
		point := lines[0].point()
		edited := editFstab(text, point, line)
		n, others := 0, 0
		for _, l := range fstabLines(edited) {
			switch {
			case l.point() != point:
				others++
			case l.text != line:
				t.Fatalf("%q is left of %s in\n%s", l.text, point, edited)
			default:
				n++
			}
		}
		for _, l := range fstabLines(text) {
			if l.point() != point {
				others--
			}
		}
		if n != 1 || others != 0 {
			t.Fatalf("%d lines of %s, %d others more, in\n%s", n, point, others, edited)
		}
	})
}
