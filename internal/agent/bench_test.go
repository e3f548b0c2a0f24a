package agent

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// What a plan without differences asks of a host, but for what needs systemd.
func BenchmarkAnswer(b *testing.B) {
	h := newHost(b.TempDir())
	var queries []wire.Query
	for range 200 {
		queries = append(queries, wire.Query{Verb: wire.AskFile, Arg: "/etc/passwd", Option: "content-unless:x"})
	}
	for _, p := range []string{"bash", "coreutils", "tar", "no-such-package"} {
		queries = append(queries, wire.Query{Verb: wire.AskPackage, Arg: p})
	}
	queries = append(queries, wire.Query{Verb: wire.AskUser, Arg: "root"}, wire.Query{Verb: wire.AskFilesystem, Arg: "/srv/mirror"})
	for b.Loop() {
		for _, a := range h.answer(b.Context(), queries) {
			if a.Error != "" {
				b.Fatal(a.Error)
			}
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		newHost("/proc/nonexistent")
	}
}
