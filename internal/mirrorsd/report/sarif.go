package report

import (
	"slices"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/internal/sarif"
)

// rulesPage is the address of the rules' documentation.
const rulesPage = sarif.HomePage + "/blob/main/docs/lint.md"

// SARIF renders findings as a log of the Static Analysis Results Interchange Format 2.1.0, without
// a final newline. version is mirrorform's version. Relative file names become relative URIs, which
// the reader of the log resolves.
func SARIF(findings []mirrorsd.Finding, version string) ([]byte, error) {
	r := sarif.NewRun("mirrorform lint", version)
	var names []string
	for _, known := range mirrorsd.Rules() {
		names = append(names, known.Name)
		r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, sarif.Rule{
			ID:                   known.Name,
			ShortDescription:     sarif.Message{Text: known.Summary + "."},
			FullDescription:      sarif.Message{Text: known.Summary + ". " + known.Detail},
			HelpURI:              rulesPage + "#" + known.Name,
			DefaultConfiguration: sarif.Configuration{Enabled: !known.Optional, Level: string(known.Severity)},
		})
	}
	for _, f := range findings {
		file := sarif.ArtifactLocation{URI: sarif.URI(f.File)}
		res := sarif.Result{
			RuleID: f.Rule, RuleIndex: slices.Index(names,
				f.Rule), Level: string(f.Severity), Message: sarif.Message{Text: sarif.Text(f.Message)},
			Locations: []sarif.Location{{PhysicalLocation: sarif.PhysicalLocation{ArtifactLocation: file,
				Region: between(f.Start, f.End)}}},
		}
		if f.Fix != nil {
			change := sarif.ArtifactChange{ArtifactLocation: file}
			for _, e := range f.Fix.Edits {
				deleted := between(e.Start, e.End)
				length := e.End.Byte - e.Start.Byte
				deleted.ByteOffset, deleted.ByteLength = &e.Start.Byte, &length
				change.Replacements = append(change.Replacements,
					sarif.Replacement{DeletedRegion: deleted, InsertedContent: sarif.Message{Text: e.Text}})
			}
			res.Fixes = []sarif.Fix{{Description: sarif.Message{Text: sarif.Text(f.Fix.Description)},
				ArtifactChanges: []sarif.ArtifactChange{change}}}
		}
		r.Results = append(r.Results, res)
	}
	return sarif.Encode(r)
}

func between(start, end mirrorsd.Position) sarif.Region {
	return sarif.Region{StartLine: start.Line, StartColumn: start.Column, EndLine: end.Line, EndColumn: end.Column}
}
