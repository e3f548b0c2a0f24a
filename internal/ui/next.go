package ui

import (
	"strings"

	"github.com/mirrorform/mirrorform/internal/plain"
)

// NextStep is a command of mirrorform that a command leaves to do.
type NextStep struct {
	Command []string // without the program
	Why     string
}

// NextSteps prints the commands, to be copied, with their reasons. It prints nothing if there is
// none.
func (u *UI) NextSteps(list []NextStep) {
	u.write(u.out, u.out.nextSteps(list))
}

func (s *stream) nextSteps(list []NextStep) string {
	if len(list) == 0 {
		return ""
	}
	commands := make([]string, len(list))
	width := 0
	for i, n := range list {
		commands[i] = "mirrorform"
		for _, word := range n.Command {
			commands[i] += " " + shellWord(word)
		}
		width = max(width, columns(commands[i]))
	}
	var b strings.Builder
	b.WriteString("\n" + s.style.cyan("Next:") + "\n")
	for i, n := range list {
		why := "  # " + plain.Escape(n.Why)
		room := s.width()
		if line := "  " + pad(commands[i], width); room == 0 || columns(line+why) <= room {
			b.WriteString(line + s.style.dim(why) + "\n")
			continue
		}
		b.WriteString("  " + commands[i] + "\n  " + s.style.dim(why) + "\n")
	}
	return b.String()
}
