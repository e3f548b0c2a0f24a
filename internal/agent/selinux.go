package agent

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// readSELinux returns the mode of SELinux, "" where it is not enabled, and the name of the host's
// policy (selinux_config(5)). fs is where selinuxfs is mounted.
func readSELinux(fs, config string) (mode, policy string) {
	switch firstLine(fs + "/enforce") {
	case "0":
		mode = "permissive"
	case "1":
		mode = "enforcing"
	}
	text, _ := readFile(config) // without it, there is no policy
	return mode, assignments(string(text))["SELINUXTYPE"]
}

// labelOf returns the SELinux label of a file, or "". It does not follow a link.
func labelOf(file string) string {
	value := make([]byte, 1024)
	n, err := unix.Lgetxattr(file, selinuxLabel, value)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(value[:n]), "\x00")
}

const selinuxLabel = "security.selinux"

// labelType returns the type of a label, which is what policies decide by.
func labelType(label string) string {
	f := strings.Split(label, ":")
	if len(f) < 3 {
		return ""
	}
	return f[2]
}

// readLabels adds to a file the label of an entry of the directory dir, and of its own entries
// those that have another type.
func (w *way) readLabels(f *wire.File, dir int, name string) error {
	f.Label = printable(labelOf(procFD(dir) + "/" + name))
	if f.Kind != wire.Directory {
		return nil
	}
	fd, err := w.reopen(unix.O_RDONLY | unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	names, err := list(fd, servedNames)
	for _, n := range names {
		label := labelOf(procFD(fd) + "/" + n)
		if labelType(label) != labelType(f.Label) && len(f.Labels) < wire.MaxEntries {
			f.Labels = append(f.Labels, printable(label+" "+n))
		}
	}
	return err
}

// policySubject returns questions about the files that semanage(8) writes.
func (h *host) policySubject() []wire.Query {
	return []wire.Query{
		{Verb: wire.AskFile, Arg: "/etc/selinux/" + h.facts.SELinuxPolicy + "/contexts/files/file_contexts.local"},
		{Verb: wire.AskFile, Arg: h.localBooleans()},
	}
}

func (h *host) localBooleans() string {
	return "/var/lib/selinux/" + h.facts.SELinuxPolicy + "/active/booleans.local"
}

// policyUndo returns the undo of a change of the policy. If the policy is as before, only labels
// and booleans are left to restore: semanage(8) fails where it finds nothing to do.
func (t *transaction) policyUndo(op *operation) *wire.PolicyOp {
	undo := *op.Undo.Policy
	if op.Before != "" && t.digest(op.Subject) == op.Before {
		undo.Commands, undo.Forget = nil, nil
	}
	return &undo
}

// policy performs a PolicyOp.
func (h *host) policy(op *wire.PolicyOp) error {
	lines := op.Commands
	if len(op.Forget) > 0 {
		text, err := readFile(h.localBooleans())
		if err != nil {
			return err
		}
		lines = append(otherBooleans(string(text), op.Forget), lines...)
	}
	c := command{argv: []string{"semanage", "import"}, stdin: strings.Join(lines, "\n") + "\n", timeout: opTimeout, merge: true, lock: h.lock}
	if h.facts.SELinux == "" {
		c.argv = append(c.argv, "-N") // there is no policy in the kernel to replace
	}
	var err error
	if len(lines) > 0 {
		_, err = must(context.Background(), c)
	}
	if c.stdin = ""; err == nil && len(op.Booleans) > 0 {
		c.argv = append([]string{"setsebool"}, op.Booleans...)
		_, err = must(context.Background(), c)
	}
	if err == nil && len(op.Relabel) > 0 {
		// -F also resets types that restorecon(8) takes for a choice of the administrator, and -i
		// skips files that a sync removes meanwhile.
		c.argv, c.timeout = append([]string{"restorecon", "-RFip", "--"}, op.Relabel...), wire.RelabelTime
		c.stdout, c.merge = &h.labelled, false
		_, err = must(context.Background(), c)
		h.labelled.files.Store(0)
	}
	return err
}

// labelled counts the files that restorecon(8) has labelled.
type labelled struct {
	files  atomic.Int64
	number int64 // that it is printing
}

// Write reads the progress that restorecon prints: a number of thousands, and a k.
func (l *labelled) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c >= '0' && c <= '9':
			l.number = l.number*10 + int64(c-'0')
			continue
		case c == 'k':
			l.files.Store(l.number * 1000)
		}
		l.number = 0
	}
	return len(p), nil
}

// otherBooleans returns the commands that remove the local values of booleans. semanage(8) removes
// either none or all of them, so the others are set again.
func otherBooleans(text string, but []string) []string {
	lines := []string{"boolean -D"}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && name[0] != '#' && !slices.Contains(but, name) {
			lines = append(lines, "boolean -m -"+value+" "+name)
		}
	}
	return lines
}

// labelNew labels what operations have created as the policy says. The kernel labels a new entry by
// its directory, whatever its own name is. A replaced file has the label of the original.
func (h *host) labelNew(ops []*operation) {
	var paths []string
	for _, op := range ops {
		if op.Was != nil && op.Was.Kind == wire.Absent {
			paths = append(append(paths, op.Made...), op.Path)
		}
	}
	if h.facts.SELinux != "" && len(paths) > 0 {
		// A host may have SELinux without this program. Its labels are not a reason to fail.
		_ = h.programs.change(append([]string{"restorecon", "-i", "--"}, paths...)...)
	}
}
