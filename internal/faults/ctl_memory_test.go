package faults

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/crypto/ssh"
)

// mostAbove limits how much more resident memory the program may use for a hostile host than for a
// healthy host, in KiB.
const mostAbove = 64 << 10

// stuffed returns a frame with as many repetitions of a piece as the protocol allows.
func stuffed(before, piece, after string) []byte {
	n := (wire.MaxFrame - len(before) - len(after) - len(piece)) / (len(piece) + 1)
	body := before + strings.Repeat(piece+",", n) + piece + after
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// TestFault42Memory: a host sends small messages that expand to large values. The program uses at
// most 64 MiB more for them than for a healthy host.
func TestFault42Memory(t *testing.T) {
	config := fileBlocks("host.h", "f", 20, "x\n")
	apply := func(t *testing.T, h *play) (result, int64) {
		p := newPeer(t)
		p.run = h.run(p)
		p.serve(t)
		return p.against(t, config, "30s")
	}
	r, own := apply(t, new(play))
	r.says(t, 0)
	instead := func(kind string, frame []byte) *play {
		return &play{stream: func(m *wire.Message, ch io.Writer) bool {
			if kindOf(m) != kind {
				return false
			}
			_, _ = ch.Write(frame) // the controller may have enough before its end
			return true
		}}
	}
	long := strings.Repeat("x", 200<<10)
	manifest := func(piece string) []byte {
		text := `{"kind":"mirrorform manifest","format_version":2,"resources":[` + strings.Repeat(piece+",", (wire.MaxManifest-100)/(len(piece)+1)) + piece + `]}`
		body, err := wire.Frame(&wire.Message{Begun: &wire.Begun{ID: "00", Manifest: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	cases := map[string]*play{
		"answers without anything":        instead("ask", stuffed(`{"answers":{"answers":[`, `{}`, `]}}`)),
		"answers with everything":         instead("ask", stuffed(`{"answers":{"answers":[`, `{"file":{},"unit":{},"tree":{},"block":{},"user":{},"http":{}}`, `]}}`)),
		"one answer with empty names":     instead("ask", stuffed(`{"answers":{"answers":[{"file":{"entries":[`, `""`, `]}}]}}`)),
		"one answer with empty places":    instead("ask", stuffed(`{"answers":{"answers":[{"tree":{"others":[`, `{}`, `]}}]}}`)),
		"names that are not known":        instead("ask", stuffed(`{"answers":{`, `"x":{}`, `}}`)),
		"a string of 32 MiB":              instead("ask", stuffed(`{"failure":{"message":"`, "xxxxxxxxxxxxxxx", `"}}`)),
		"many strings":                    instead("ask", stuffed(`{"answers":{"answers":[`, `{"run":{"stdout":"`+long+`"}}`, `]}}`)),
		"brackets":                        instead("ask", stuffed(strings.Repeat("[", 1<<20), "[", "")),
		"arrays":                          instead("ask", stuffed(`{"x":[`, `[]`, `]}`)),
		"lines of what was taken back":    instead("begin", stuffed(`{"begun":{"id":"00","recovered":{"stays":[`, `""`, `]}}}`)),
		"a manifest of empty resources":   instead("begin", manifest(`{}`)),
		"a manifest with many keys":       instead("begin", manifest(`{"state":{`+strings.TrimSuffix(strings.Repeat(`"a":0,`, 100), ",")+`}}`)),
		"events with much output":         instead("do", stuffed(`{"event":{"id":0,"state":"started","x":[`, `"`+long+`"`, `]}}`)),
		"signs of life with much in them": instead("ask", stuffed(`{"beat":{},"x":[`, `{}`, `]}`)),
		"owners and links of 200 KiB": {answer: func(a *wire.Answer) {
			*a.File = wire.File{Kind: wire.Symlink, Owner: long, Group: long, Target: long, Fingerprint: long}
		}},
		"content of line ends, 4 MiB each": {answer: func(a *wire.Answer) {
			*a.File = wire.File{Kind: wire.Regular, Owner: "root", Group: "root", Mode: 0o644, HasContent: true, Content: []byte(strings.Repeat("\n", wire.MaxContent)), Fingerprint: "x"}
		}},
		"standard error without end, then nothing": {raw: func(ch ssh.Channel) {
			line := []byte(strings.Repeat("x", 32<<10))
			for range 1 << 11 {
				if _, err := ch.Stderr().Write(line); err != nil {
					return
				}
			}
		}},
	}
	for name, h := range cases {
		t.Run(name, func(t *testing.T) {
			r, most := apply(t, h)
			if r.exit == 2 || strings.Contains(r.output, "panic") {
				t.Errorf("exit status %d:\n%.2000s", r.exit, r.output)
			}
			if most > own+mostAbove {
				t.Errorf("it took %d MiB, and takes %d for a host that is in order", most>>10, own>>10)
			}
			t.Logf("%d MiB above", (most-own)>>10)
		})
	}
	record(t, 42, "frames of 32 MiB that expand to gigabytes; manifests, contents and strings of the maximum size", len(cases), "refused or planned, with less than 64 MiB more memory than for a healthy host")
}

// TestFault42OnlyBeats: a host accepts a question, and from then on sends only heartbeats.
func TestFault42OnlyBeats(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	h := &play{stream: func(m *wire.Message, ch io.Writer) bool {
		if m.Ask == nil {
			return false
		}
		go func() {
			for wire.Write(ch, &wire.Message{Beat: &wire.Beat{}}) == nil {
				time.Sleep(5 * time.Second)
			}
		}()
		return true
	}}
	p.run = h.run(p)
	p.serve(t)
	path, env := program(t)
	s := &site{t: t, dir: t.TempDir(), path: path, env: append(append([]string(nil), env...), "HOME="+t.TempDir(), "USER=tester")}
	s.write("hosts.hcl", p.block("h", p.pinned()))
	s.write("main.hcl", oneFile())
	begin := time.Now()
	r := s.run("plan")
	if took := time.Since(begin); took > 4*time.Minute {
		t.Errorf("it took %v", took)
	}
	r.says(t, 1)
	for _, want := range []string{"the helper did not answer 1 questions within", "run the command again"} {
		if !strings.Contains(r.output, want) {
			t.Errorf("%q is not said:\n%s", want, r.output)
		}
	}
	record(t, 42, "a helper that sends only heartbeats", 1, "an error within 4 min that names the questions; nothing hangs")
}
