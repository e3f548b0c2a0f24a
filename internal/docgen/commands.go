package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mirrorform/mirrorform/internal/cli"
)

// commands describes every command.
func (g *generator) commands() (string, error) {
	root := cli.Command()
	var out strings.Builder
	for _, group := range root.Groups() {
		var rows [][]string
		for _, c := range root.Commands() {
			if c.GroupID != group.ID {
				continue
			}
			walk(c, func(c *cobra.Command) {
				link := fmt.Sprintf("[`%s`](#%s)", commandName(c), anchor(c.CommandPath()))
				rows = append(rows, []string{link, prose(sentence(c.Short))})
			})
		}
		fmt.Fprintf(&out, "**%s**\n\n%s\n", group.Title, table([]string{"Command", "What it does"}, rows))
	}
	out.WriteString("Every command takes these flags:\n\n")
	for _, group := range cli.FlagGroups(root) {
		if group.Title == globalFlags {
			out.WriteString(flagTable(group.Flags) + "\n")
		}
	}
	for _, c := range root.Commands() {
		walk(c, func(c *cobra.Command) { out.WriteString(commandSection(c)) })
	}
	return out.String(), nil
}

// globalFlags is the heading of the flags that every command has.
const globalFlags = "Global"

// walk visits a command and those below it, except hidden ones.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	if c.Hidden {
		return
	}
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

// commandName is a command without the program's name before it.
func commandName(c *cobra.Command) string {
	_, name, _ := strings.Cut(c.CommandPath(), " ")
	return name
}

func anchor(heading string) string { return strings.ReplaceAll(heading, " ", "-") }

func commandSection(c *cobra.Command) string {
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
	for _, group := range cli.FlagGroups(c) {
		if group.Title != globalFlags {
			fmt.Fprintf(&out, "\n**%s**\n\n%s", group.Title, flagTable(group.Flags))
		}
	}
	out.WriteString("\n")
	return out.String()
}

// longText keeps the paragraphs of a help text, each on one line: a line that is wrapped before
// "1." would begin a list. A paragraph with indented lines stays a block of code.
func longText(text string) string {
	paragraphs := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, p := range paragraphs {
		if !strings.HasPrefix(p, "    ") {
			paragraphs[i] = prose(strings.Join(strings.Fields(p), " "))
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

func flagTable(flags *pflag.FlagSet) string {
	var rows [][]string
	flags.VisitAll(func(f *pflag.Flag) {
		usage := strings.ReplaceAll(f.Usage, "`", "")
		value, _ := pflag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + value)
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		rows = append(rows, []string{code(name), defaultOf(f), prose(sentence(usage))})
	})
	return table([]string{"Flag", "Default", "Meaning"}, rows)
}

// defaultOf is the default of a flag, or "" where it has none that matters.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "false", "[]", "0", "0s":
		return ""
	}
	return code(f.DefValue)
}
