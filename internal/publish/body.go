package publish

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// The lines around what publish writes in a pull request. What others write before and after stays.
const (
	bodyStart = "<!-- mirrorform publish: what stands between these lines is written anew each time -->"
	bodyEnd   = "<!-- mirrorform publish: end -->"
)

// trailer marks the commits that publish made (git-interpret-trailers(1)).
const trailer = "Published-by: mirrorform publish"

// title is one line for the commit and the pull request.
func title(verb, name string) string { return verb + " mirror " + name }

// verb is what a change of an entry does.
func verb(isNew bool) string {
	if isNew {
		return "Add"
	}
	return "Update"
}

// commitMessage tells what a commit changes.
func commitMessage(name string, isNew bool, diffs []mirrorsd.Difference) string {
	var b strings.Builder
	b.WriteString(title(verb(isNew), name) + "\n\n")
	if !isNew {
		for _, d := range diffs {
			b.WriteString("- " + d.Key + ": " + change(d, func(s string) string { return s }) + "\n")
		}
		b.WriteString("\n")
	}
	return b.String() + trailer + "\n"
}

// change says what becomes of a value.
func change(d mirrorsd.Difference, quote func(string) string) string {
	have, want := quote(cut(d.Have)), quote(cut(d.Want))
	switch {
	case d.Have == "":
		return "set to " + want
	case d.Want == "":
		return "removed, was " + have
	}
	return have + " becomes " + want
}

// maxShown is how much of a value a text shows, in characters: a list of networks may be long, and GitHub takes no body beyond 65,536.
const maxShown = 500

func cut(s string) string {
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown]) + "…"
	}
	return s
}

// pullBody describes the change for upstream's maintainers. It depends on upstream's file and the wanted one only, so that it stays the
// same until one of them changes.
func pullBody(path string, f mirrorsd.File, isNew bool, diffs []mirrorsd.Difference) string {
	var b strings.Builder
	b.WriteString(bodyStart + "\n")
	if isNew {
		fmt.Fprintf(&b, "Adds %s as %s.\n\n", code(f.Name), code(path))
		row := func(what, value string) {
			if value != "" {
				fmt.Fprintf(&b, "- %s: %s\n", what, code(cut(value)))
			}
		}
		row("HTTP", f.Address.HTTP)
		row("HTTPS", f.Address.HTTPS)
		row("rsync", f.Address.Rsync)
		row("FTP", f.Address.FTP)
		row("Kitten, HTTP", f.AddressOptional.Kitten.HTTP)
		row("Kitten, HTTPS", f.AddressOptional.Kitten.HTTPS)
		row("synced every", f.UpdateFrequency)
		row("sponsor", f.Sponsor)
		row("home page", f.SponsorURL)
		row("country", f.Geolocation.Country)
		row("state or province", f.Geolocation.StateProvince)
		row("city", f.Geolocation.City)
	} else {
		fmt.Fprintf(&b, "Updates %s in %s:\n\n", code(f.Name), code(path))
		for _, d := range diffs {
			fmt.Fprintf(&b, "- %s: %s\n", code(d.Key), change(d, code))
			if d.Key == "private" && d.Have != "" && d.Want == "" {
				b.WriteString("  This asks for the mirror to be listed for everybody again.\n")
			}
		}
	}
	b.WriteString("\nWritten by `mirrorform publish` from the mirror's configuration.\n" + bodyEnd + "\n")
	return b.String()
}

// code is a Markdown code span: nothing in it is markup, a mention or a link (CommonMark, section 6.1).
func code(s string) string {
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// mergeBody puts the part that publish writes into a body that others may have written in. A body from which they took the marks is
// theirs, and stays.
func mergeBody(have, want string) string {
	text := strings.ReplaceAll(have, "\r\n", "\n") // as forms on web pages send it
	start := strings.Index(text, bodyStart)
	end := strings.LastIndex(text, bodyEnd) // a value may hold it, too
	if start < 0 || end < start {
		return have
	}
	if text[start:end+len(bodyEnd)] == strings.TrimSuffix(want, "\n") {
		return have
	}
	return text[:start] + strings.TrimSuffix(want, "\n") + text[end+len(bodyEnd):]
}
