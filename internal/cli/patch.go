package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/publish"
	"golang.org/x/term"
)

// patches are the patches that publish --patch and retire --patch print.
type patches struct {
	count          int
	carriageReturn bool // a line of a patch ends in a carriage return, which git am drops
}

// print prints a change as a patch. A file or a pipe gets its exact bytes.
func (p *patches) print(g *global, s *publish.Session, c *publish.Change) error {
	patch, err := s.Patch(c)
	if err != nil {
		return err
	}
	p.count++
	p.carriageReturn = p.carriageReturn || slices.Contains(patch, '\r')
	if term.IsTerminal(int(g.out.Fd())) {
		g.ui.Print(strings.TrimSuffix(string(patch), "\n"))
		return nil
	}
	_, err = g.out.Write(patch)
	return err
}

// nextSteps prints what to do with the patches.
func (p *patches) nextSteps(g *global, s *publish.Session) {
	if p.count == 0 {
		return
	}
	am := "git am"
	if p.carriageReturn {
		am += " --keep-cr"
	}
	g.ui.Note(fmt.Sprintf("To publish: save the output as a file, and in a clone of your fork of %s run %s FILE, "+
		"on a new branch that starts at upstream's newest commit. Push the branch, then open the pull request at %s",
		s.Upstream(), am, s.ComparePage()))
}

// setFlag is a flag, and whether it is set.
type setFlag struct {
	name string
	set  bool
}

// onlyOne refuses more than one of the flags that are set.
func onlyOne(flags ...setFlag) error {
	flags = slices.DeleteFunc(flags, func(f setFlag) bool { return !f.set })
	if len(flags) < 2 {
		return nil
	}
	return fmt.Errorf("%s and %s cannot be used together", flags[0].name, flags[1].name)
}
