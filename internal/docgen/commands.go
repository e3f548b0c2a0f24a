package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mirrorform/mirrorform/internal/cli"
)

// commands describes every command.
func (g *generator) commands() (string, error) {
	root := cli.Command()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var list []*cobra.Command
	walk(root, func(c *cobra.Command) { list = append(list, c) })

	var rows [][]string
	for _, c := range list[1:] {
		rows = append(rows, []string{fmt.Sprintf("[`%s`](#%s)", commandName(c), anchor(c.CommandPath())), prose(sentence(c.Short))})
	}
	var out strings.Builder
	out.WriteString(table([]string{"Command", "What it does"}, rows))
	out.WriteString("\nEvery command takes these flags:\n\n" + flagTable(root.PersistentFlags()) + "\n")
	for _, c := range list[1:] {
		out.WriteString(commandSection(root, c))
	}
	return out.String(), nil
}

// walk visits a command and those below it, but for hidden ones.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() || sub.Name() == "help" {
			walk(sub, visit)
		}
	}
}

// commandName is a command as it stands after the program's name.
func commandName(c *cobra.Command) string {
	_, name, _ := strings.Cut(c.CommandPath(), " ")
	return name
}

func anchor(heading string) string { return strings.ReplaceAll(heading, " ", "-") }

func commandSection(root, c *cobra.Command) string {
	var out strings.Builder
	fmt.Fprintf(&out, "## %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = sentence(c.Short)
	}
	out.WriteString(longText(text) + "\n\n")
	out.WriteString(fenced("", c.UseLine()))
	if c.Example != "" {
		out.WriteString("\nFor example:\n\n" + fenced("", c.Example))
	}
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			own.AddFlag(f)
		}
	})
	inherited := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if root.PersistentFlags().Lookup(f.Name) == nil {
			inherited.AddFlag(f)
		}
	})
	own.AddFlagSet(inherited)
	if own.HasAvailableFlags() {
		out.WriteString("\n" + flagTable(own))
	}
	out.WriteString("\n")
	return out.String()
}

// longText keeps the paragraphs of a help text; what is indented in it stays code.
func longText(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, l := range lines {
		heading, isHeading := strings.CutPrefix(l, "#### ")
		switch {
		case isHeading:
			lines[i] = heading
		case !strings.HasPrefix(l, "\t") && !strings.HasPrefix(l, "    "):
			lines[i] = prose(l)
		}
	}
	return strings.Join(lines, "\n")
}

func flagTable(flags *pflag.FlagSet) string {
	var rows [][]string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		usage := strings.ReplaceAll(f.Usage, "`", "")
		name := strings.TrimSpace("--" + f.Name + " " + valueName(f))
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		rows = append(rows, []string{code(name), defaultOf(f), prose(sentence(usage))})
	})
	return table([]string{"Flag", "Default", "Meaning"}, rows)
}

// placeholder is a word that stands for a value in the text of a flag.
var placeholder = regexp.MustCompile(`\b(ADDRESS|DIRECTORY|FILE|HOST|NAME|SIZE)\b`)

// valueName is what stands for a flag's value: a word in capitals that its text uses, or one for its type.
func valueName(f *pflag.Flag) string {
	value, _ := pflag.UnquoteUsage(f)
	switch value {
	case "int", "uint":
		return "N"
	case "string", "strings", "stringArray":
		if word := placeholder.FindString(f.Usage); word != "" {
			return word
		}
		return "VALUE"
	}
	return value
}

// defaultOf is the default of a flag, where it says anything.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]":
		return ""
	}
	return code(f.DefValue)
}
