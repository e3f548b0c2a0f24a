package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mirrorform/mirrorform/internal/cli"
)

// Cobra's own pages have neither the headings of flags nor the names of their values, and read help
// as Markdown, which ours is not. So pages are written from what the help itself is made of.

// writePages writes one manual page for each command, compressed as packages have them. They carry
// no date and no version, so the same source gives the same bytes.
func writePages(c *cobra.Command, dir string) error {
	if c.Hidden || c.Name() == "help" {
		return nil
	}
	for _, sub := range c.Commands() {
		if err := writePages(sub, dir); err != nil {
			return err
		}
	}
	return writeGzip(filepath.Join(dir, pageName(c)+".1.gz"), page(c))
}

// pageName is the name of a command's page: mirrorform-state-list.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// page returns a command's page in the macros of man(7).
func page(c *cobra.Command) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, ".TH %s 1 \"\" mirrorform mirrorform\n", roff(strings.ToUpper(pageName(c))))
	fmt.Fprintf(&out, ".SH NAME\n%s \\- %s\n", roff(pageName(c)), roff(c.Short))
	fmt.Fprintf(&out, ".SH SYNOPSIS\n%s\n", roff(c.UseLine()))
	out.WriteString(".SH DESCRIPTION\n")
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if strings.HasPrefix(paragraph, " ") {
			out.WriteString(".PP\n" + verbatim(paragraph))
		} else {
			out.WriteString(".PP\n" + roff(strings.Join(strings.Fields(paragraph), " ")) + "\n")
		}
	}
	var commands, others []string
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" {
			commands = append(commands, fmt.Sprintf(".TP\n\\fB%s\\fR(1)\n%s\n", roff(pageName(sub)), roff(sub.Short)))
		}
	}
	if len(commands) > 0 {
		out.WriteString(".SH COMMANDS\n" + strings.Join(commands, ""))
	}
	for _, group := range cli.FlagGroups(c) {
		fmt.Fprintf(&out, ".SH %s\n", roff(strings.ToUpper(group.Title)))
		group.Flags.VisitAll(func(f *pflag.Flag) { out.WriteString(flag(f)) })
	}
	if c.Example != "" {
		out.WriteString(".SH EXAMPLES\n" + verbatim(c.Example))
	}
	for p := c.Parent(); p != nil; p = p.Parent() {
		others = append(others, fmt.Sprintf("\\fB%s\\fR(1)", roff(pageName(p))))
	}
	if len(others) > 0 {
		out.WriteString(".SH SEE ALSO\n" + strings.Join(others, ", ") + "\n")
	}
	return out.Bytes()
}

// flag returns a flag with its value's name, and what it does.
func flag(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	name := "\\fB" + roff("--"+f.Name) + "\\fR"
	if f.Shorthand != "" {
		name = "\\fB" + roff("-"+f.Shorthand) + "\\fR, " + name
	}
	if value != "" {
		name += " \\fI" + roff(value) + "\\fR"
	}
	return fmt.Sprintf(".TP\n%s\n%s\n", name, roff(usage))
}

// verbatim returns lines that keep their breaks.
func verbatim(text string) string {
	var out strings.Builder
	out.WriteString(".nf\n")
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		out.WriteString(roff(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return out.String() + ".fi\n"
}

// roff returns one line of text as text, whatever is in it: a period or a quote at its beginning is
// not a request, and a hyphen is one that can be copied.
func roff(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`).Replace(line)
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// writeGzip writes a compressed file without a time in it.
func writeGzip(name string, data []byte) error {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}
