package resources

import (
	"testing"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// Another build of the same version is no difference, an older version is one, and a newer one that
// another mirrorform installed stays.
func TestProgramVersions(t *testing.T) {
	t.Parallel()
	want := &Program{Path: "/usr/local/libexec/mirrorform-sync", Name: wire.SyncProgram}
	var pt programType
	q := pt.Ask(engine.Target{}, want)
	for _, tc := range []struct {
		name, found, applied, version string
		steps                         int
	}{
		{"another build", "build-1", "build-1", programVersions[wire.SyncProgram], 0},
		{"an older version", "build-1", "build-1", "0", 1},
		{"a newer version", "build-1", "build-1", "999", 0},
		{"edited", "edited", "build-1", programVersions[wire.SyncProgram], 1},
		{"installed again by this build", "helper", "build-1", "0", 0},
	} {
		got, err := engine.NewAnswers(q, []wire.Answer{{File: &wire.File{
			Kind: wire.Regular, Mode: 0o755, Owner: "root", Group: "root", SHA256: tc.found, Fingerprint: "found",
		}}})
		if err != nil {
			t.Fatal(err)
		}
		prior := engine.Record{Type: "program", State: &Program{Path: want.Path, Name: want.Name, SHA256: tc.applied, Version: tc.version}}
		target := engine.Target{Helper: "helper", Records: []engine.Record{prior}}
		recalled := *want
		recalled.SHA256, recalled.Version = tc.applied, tc.version
		have, err := pt.Read(target, &recalled, got)
		if err != nil {
			t.Fatal(err)
		}
		settled := pt.Complete(target, pt.Settle(target, &recalled, &prior, got))
		if settled.SHA256 != "" {
			t.Errorf("%s: the digest of the last apply would be kept", tc.name)
		}
		if steps := pt.Diff(target, settled, have); len(steps) != tc.steps {
			t.Errorf("%s: %d steps, want %d", tc.name, len(steps), tc.steps)
		}
	}
}
