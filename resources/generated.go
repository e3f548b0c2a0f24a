package resources

import (
	"fmt"
	"regexp"

	"github.com/mirrorform/mirrorform/engine"
)

// header opens every file that is made here; kind and name are what a configuration calls the resource.
func header(kind, name string) string {
	return "# Managed by mirrorform: " + kind + " " + name + ". Changes made here are overwritten.\n"
}

// entryName is a name of a file that every reader of a directory of snippets takes. Debian's cron skips names with other
// characters, cronie takes job.tmp, and logrotate skips a list of suffixes.
var entryName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// checkEntry tells why a name does not suit a file in the directory.
func checkEntry(name, directory string) []engine.Problem {
	if entryName.MatchString(name) {
		return nil
	}
	return []engine.Problem{refusal("name", fmt.Sprintf("%q cannot name a file in %s", name, directory),
		"it takes letters, digits, _ and -, beginning with a letter or digit: names with other characters are skipped there")}
}
