package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// opened is a session with a helper that is a function; it gets what the controller writes.
func opened(t *testing.T, helper func(conn net.Conn)) *engine.Session {
	t.Helper()
	ours, theirs := net.Pipe()
	s, err := engine.NewSession(ours, &wire.Hello{Facts: &wire.Facts{Hostname: "h"}})
	if err != nil {
		t.Fatal(err)
	}
	go helper(theirs)
	t.Cleanup(func() {
		_ = s.Close()
		_ = theirs.Close()
		time.Sleep(time.Minute) // of the bubble's clock: all that the helper has begun ends
	})
	return s
}

// listen reads what comes, and drops it.
func listen(conn net.Conn) {
	for {
		if _, err := wire.Read(conn); err != nil {
			return
		}
	}
}

// beats sends signs of life until the connection ends.
func beats(conn net.Conn) {
	for wire.Write(conn, &wire.Message{Beat: &wire.Beat{}}) == nil {
		time.Sleep(5 * time.Second)
	}
}

// asked are questions about n files with their content.
func asked(n int) []wire.Query {
	queries := make([]wire.Query, n)
	for i := range queries {
		queries[i] = wire.Query{Verb: wire.AskFile, Arg: "/" + strings.Repeat("x", i+1), Option: "content"}
	}
	return queries
}

// exchanges are all that can be asked of a helper, and how long each may take at most.
func exchanges(ctx context.Context, s *engine.Session) map[string]func() (time.Duration, error) {
	install := wire.Op{Package: &wire.PackageOp{Install: []string{"nginx"}}}
	return map[string]func() (time.Duration, error){
		"3 questions": func() (time.Duration, error) { _, err := s.Ask(ctx, asked(3)); return 4 * time.Minute, err },
		"the request for the host's lock": func() (time.Duration, error) {
			_, err := s.Begin(ctx, wire.Begin{Wait: 60}, func(wire.Holder) {})
			return 15 * time.Minute, err
		},
		"the request to perform steps": func() (time.Duration, error) {
			_, err := s.Do(ctx, wire.Do{Ops: []wire.Order{{Op: install}}}, func(wire.Event) {})
			return 3 * time.Hour, err
		},
		"the request to roll back": func() (time.Duration, error) {
			_, err := s.Rollback(ctx, func(wire.Event) {})
			return 15 * time.Minute, err
		},
		"the confirmation": func() (time.Duration, error) { return 15 * time.Minute, s.Confirm(ctx, "x", "y") },
		"the request to commit": func() (time.Duration, error) {
			_, err := s.Commit(ctx, wire.Commit{Manifest: []byte("{}")}, func(wire.Event) {})
			return 15 * time.Minute, err
		},
	}
}

// TestHelperThatOnlyBeats: signs of life alone keep no exchange open for ever.
func TestHelperThatOnlyBeats(t *testing.T) {
	t.Parallel()
	for _, helper := range []struct {
		name string
		play func(net.Conn)
	}{
		{"listens and beats", func(c net.Conn) { go listen(c); beats(c) }},
		{"beats, and does not read", beats},
		{"begins a long answer, a byte every ten seconds", func(c net.Conn) {
			go listen(c)
			_, err := c.Write(binary.BigEndian.AppendUint32(nil, 1<<20))
			for err == nil {
				time.Sleep(10 * time.Second)
				_, err = c.Write([]byte(" "))
			}
		}},
		{"sends signs of life with much that means nothing", func(c net.Conn) {
			go listen(c)
			body := []byte(`{"beat":{},"x":"` + strings.Repeat("x", 64<<10) + `"}`)
			frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
			for {
				if _, err := c.Write(frame); err != nil {
					return
				}
				time.Sleep(5 * time.Second)
			}
		}},
	} {
		for what := range exchanges(t.Context(), nil) {
			t.Run(helper.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T) {
					s := opened(t, helper.play)
					began := time.Now()
					most, err := exchanges(t.Context(), s)[what]()
					var late *engine.LateError
					if !errors.As(err, &late) || late.What != what || !strings.Contains(err.Error(), "run the command again") {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
					if took := time.Since(began); took > most {
						t.Errorf("it took %v, at most %v are permitted", took, most)
					}
				})
			})
		}
	}
}

// TestSlowHelper: what takes long and gets on is waited for.
func TestSlowHelper(t *testing.T) {
	t.Parallel()
	t.Run("a large answer on a slow line", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			content := bytes.Repeat([]byte("x"), 4<<20)
			s := opened(t, func(c net.Conn) {
				if _, err := wire.Read(c); err != nil {
					return
				}
				go listen(c)
				frame, err := wire.Frame(&wire.Message{Answers: &wire.Answers{Answers: []wire.Answer{{File: &wire.File{Kind: wire.Regular, Content: content, Fingerprint: "f"}}}}})
				for err == nil && len(frame) > 0 {
					n := min(len(frame), 10<<10)
					_, err = c.Write(frame[:n])
					frame = frame[n:]
					time.Sleep(time.Second)
				}
			})
			got, err := s.Ask(t.Context(), asked(1))
			if err != nil {
				t.Fatal(err)
			}
			if f, err := got.File(asked(1)[0]); err != nil || !bytes.Equal(f.Content, content) {
				t.Errorf("%d bytes, %v", len(f.Content), err)
			}
		})
	})
	t.Run("a package manager that takes 25 minutes, twice", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			s := opened(t, func(c net.Conn) {
				m, err := wire.Read(c)
				if err != nil {
					return
				}
				go listen(c)
				go beats(c)
				for _, o := range m.Do.Ops {
					_ = wire.Write(c, &wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Started}})
					time.Sleep(25 * time.Minute)
					_ = wire.Write(c, &wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Finished}})
				}
				_ = wire.Write(c, &wire.Message{Done: &wire.Done{}})
			})
			install := wire.Op{Package: &wire.PackageOp{Install: []string{"nginx"}}}
			if _, err := s.Do(t.Context(), wire.Do{Ops: []wire.Order{{Op: install}, {Op: install}}}, func(wire.Event) {}); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("a thousand steps of two minutes", func(t *testing.T) {
		t.Parallel()
		bubble(t, func(t *testing.T) {
			s := opened(t, func(c net.Conn) {
				m, err := wire.Read(c)
				if err != nil {
					return
				}
				go listen(c)
				go beats(c)
				for _, o := range m.Do.Ops {
					time.Sleep(2 * time.Minute)
					_ = wire.Write(c, &wire.Message{Event: &wire.Event{ID: o.ID, State: wire.Finished}})
				}
				_ = wire.Write(c, &wire.Message{Done: &wire.Done{}})
			})
			run := wire.Op{Run: &wire.RunOp{Argv: []string{"true"}, Timeout: 120}}
			orders := make([]wire.Order, 1000)
			for i := range orders {
				orders[i].Op = run
			}
			if _, err := s.Do(t.Context(), wire.Do{Ops: orders}, func(wire.Event) {}); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestLongFacts refuses a greeting whose facts would be repeated wherever a configuration uses
// them.
func TestLongFacts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for _, facts := range []*wire.Facts{{Hostname: long}, {OS: wire.OSFacts{IDLike: []string{long}}}, {OS: wire.OSFacts{IDLike: make([]string, 1000)}}} {
		ours, theirs := net.Pipe()
		if _, err := engine.NewSession(ours, &wire.Hello{Facts: facts}); err == nil || !strings.Contains(err.Error(), "more than the limit") {
			t.Errorf("%.20v: %v", facts, err)
		}
		_ = theirs.Close()
	}
}
