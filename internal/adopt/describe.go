package adopt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// describe sets what the draft says besides remarks: what to do by hand, the files that were read,
// and what else is on the host.
func (d *Draft) describe(f *found) {
	about := describer{f}
	if f.main() == nil && f.named != "" {
		d.before = []string{"stop what syncs " + printable(f.named) + " now, which is not understood"}
	}
	d.others = about.otherTrees()
	d.files = about.described()
	if j := f.main(); j != nil {
		d.before = about.byHand()
		d.edited = about.starters()
		d.deletes = slices.ContainsFunc(j.sync.options, func(o []string) bool {
			return strings.HasPrefix(o[0],
				"--del")
		})
		for _, m := range f.servingModules([]string{j.sync.tree}) {
			if m.path == j.sync.tree && d.daemon == nil {
				d.daemon = daemonBlock(m)
			}
		}
	}
}

// describer describes what was found on a host besides its sync.
type describer struct{ *found }

// byHand returns what starts the syncs now and has to stop before a mirror block takes over. Jobs
// and lines for other things stay.
func (f describer) byHand() []string {
	var list []string
	add := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, j := range f.jobs {
		if !j.almalinux() {
			continue
		}
		switch rest := f.besides(j); {
		case j.idle != "":
			add("leave %s unchanged, so that it does not run, or take the sync to %s out of it", printable(j.at.File),
				printable(j.sync.tree))
		case j.script() != "" && len(rest) > 0 && f.sameLine(j):
			add("line %d of %s syncs several trees: take AlmaLinux out of what it goes through. The rest of the "+
				"script stays: %s",
				j.sync.at.Line, printable(j.script()), strings.Join(rest, ", "))
		case j.script() != "" && len(rest) > 0:
			add("take line %d, the sync to %s, out of %s. The rest of the script stays: %s", j.sync.at.Line,
				printable(j.sync.tree), printable(j.script()), strings.Join(rest, ", "))
		case j.kind == byUnit && j.timer.name != "":
			add("stop the timer: systemctl disable --now %s", quote(j.timer.name))
		case j.kind == byUnit:
			add("stop the service that runs this sync, and what starts it: %s", j.at)
		case j.kind == byParts || j.kind == byBoot:
			add("take the sync to %s out of %s", printable(j.sync.tree), j.at)
		default:
			add("take line %d out of %s. Its other lines stay", j.cronLine, printable(j.at.File))
		}
	}
	return list
}

// besides returns what else the starter of a job runs.
func (f describer) besides(j *job) []string {
	var list []string
	for _, o := range f.jobs {
		if o.sync.starts == j.sync.starts && o.startedWith(j) && !o.almalinux() {
			list = append(list, fmt.Sprintf("it syncs %s, too (line %d)", printable(o.sync.tree), o.sync.at.Line))
		}
	}
	return list
}

// sameLine reports whether another distribution's sync is on the line of a job, as in a loop.
func (f describer) sameLine(j *job) bool {
	return slices.ContainsFunc(f.jobs, func(o *job) bool { return !o.almalinux() && o.sync.at == j.sync.at && o.startedWith(j) })
}

// starters returns the files that start the syncs of AlmaLinux.
func (f describer) starters() []string {
	var list []string
	for _, j := range f.jobs {
		if j.almalinux() {
			list = append(list, j.at.File, j.file, j.timer.at)
			list = append(list, j.scripts...)
		}
	}
	return list
}

// described returns the files of the set-up with their sizes and digests.
func (f describer) described() []string {
	var paths []string
	add := func(p string) {
		if p = f.realFile(p); p != "" && f.files[p].Kind == wire.Regular && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	for _, p := range f.starters() {
		add(p)
	}
	trees := f.trees()
	for _, s := range f.serving(trees) {
		for _, tree := range trees {
			if s.serves(tree) != "" {
				add(s.servedAt(tree).File)
			}
		}
	}
	for _, m := range f.servingModules(trees) {
		add(m.at.File)
	}
	for _, t := range f.synced {
		add(t.at.File)
	}
	var list []string
	for _, p := range paths {
		list = append(list, printable(p)+": "+f.digest(p))
	}
	return list
}

// digest returns the size and the digest of a file. A file with secrets has none: guesses could be
// checked by it.
func (f *found) digest(p string) string {
	file := f.files[p]
	if content, _, _, err := f.text(p); err == nil && len(f.secretsOf(p, content)) > 0 {
		return fmt.Sprintf("%d bytes, with secrets", file.Size)
	}
	return fmt.Sprintf("%d bytes, sha256 %s", file.Size, file.SHA256)
}

// secretValues returns the secrets in all files that were read.
func (f *found) secretValues() []string {
	var list []string
	for _, p := range sortedKeys(f.files) {
		if file := f.files[p]; file.Kind == wire.Regular && file.HasContent && file.Size <= maxSize {
			text := string(file.Content)
			for _, v := range secretValues(text, f.secretsOf(p, text)) {
				if !slices.Contains(list, v) && !strings.Contains(p, v) {
					list = append(list, v)
				}
			}
		}
	}
	return list
}

// hide removes secrets from what the draft says.
func (d *Draft) hide() {
	clean := func(text string) string {
		for _, v := range d.values {
			if strings.Contains(text, v) {
				text = strings.ReplaceAll(text, v, "(secret)")
			}
		}
		return text
	}
	for i := range d.Remarks {
		d.Remarks[i].Text = clean(d.Remarks[i].Text)
	}
	for i := range d.Changes {
		d.Changes[i] = clean(d.Changes[i])
	}
	for i := range d.before {
		d.before[i] = clean(d.before[i])
	}
}
