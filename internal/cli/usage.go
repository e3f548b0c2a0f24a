package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Errors of a command line say what is wrong with it and which command lists what is right.

// noArguments is for commands that take none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd, "%s takes no arguments, but %q was given", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneArgument is for commands that take just one; name is what their usage calls it.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError(cmd, "%s needs an argument: %s", cmd.CommandPath(), name)
		case len(args) > 1:
			return usageError(cmd, "%s takes one %s, but %d arguments were given", cmd.CommandPath(), name, len(args))
		}
		return nil
	}
}

// someArguments is for commands that take one or more.
func someArguments(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError(cmd, "%s needs at least one argument: %s", cmd.CommandPath(), name)
		}
		return nil
	}
}

// optionalArgument is for commands that take none or one.
func optionalArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError(cmd, "%s takes one %s at most, but %d arguments were given", cmd.CommandPath(), name, len(args))
		}
		return nil
	}
}

func usageError(cmd *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s\nFor its usage: %s --help", fmt.Sprintf(format, args...), cmd.CommandPath())
}

// knownCommand is for commands that only hold others.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errUnknownCommand(cmd, args[0])
	}
	return nil
}

// errUnknownCommand suggests a command of a similar name, or one that is called so elsewhere:
// "mirrorform forget" is "mirrorform state forget".
func errUnknownCommand(cmd *cobra.Command, name string) error {
	path := strings.TrimPrefix(cmd.CommandPath()+" "+name, cmd.Root().Name()+" ")
	text := fmt.Sprintf("unknown command %q", path)
	if near := nearCommand(cmd, name); near != "" {
		text += "\nDid you mean: " + near
	}
	return fmt.Errorf("%s\nTo list the commands: %s --help", text, cmd.CommandPath())
}

func nearCommand(cmd *cobra.Command, name string) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if near := lang.Suggest(name, names); near != "" {
		return cmd.CommandPath() + " " + near
	}
	for _, c := range append(cmd.Root().Commands(), cmd.Commands()...) {
		if c.IsAvailableCommand() && (c.Name() == name || strings.HasPrefix(c.Name(), name) && c.Parent() == cmd) {
			return c.CommandPath()
		}
		for _, sub := range c.Commands() {
			if sub.Name() == name {
				return sub.CommandPath()
			}
		}
	}
	return ""
}

// errFlag is a flag's error in our own words.
func errFlag(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); len(args) > 0 && cmd.HasSubCommands() && cmd.ValidateArgs(args) != nil {
		return errUnknownCommand(cmd, args[0]) // whose flags cannot be known
	}
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		syntax  *pflag.InvalidSyntaxError
	)
	hint := fmt.Sprintf("\nTo list the flags: %s --help", cmd.CommandPath())
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s%s", unknownFlag(cmd, unknown), hint)
	case errors.As(err, &missing):
		value, _ := pflag.UnquoteUsage(missing.GetFlag())
		return fmt.Errorf("--%s needs a value: --%[1]s %s%s", missing.GetFlag().Name, value, hint)
	case errors.As(err, &invalid):
		return fmt.Errorf("invalid value %q for --%s: %s%s", invalid.GetValue(), invalid.GetFlag().Name, reason(invalid), hint)
	case errors.As(err, &syntax):
		return fmt.Errorf("%q is not a flag%s", syntax.GetSpecifiedFlag(), hint)
	}
	return fmt.Errorf("%w%s", err, hint)
}

// unknownFlag suggests a flag of a similar name. A long flag with one hyphen is read as short ones.
func unknownFlag(cmd *cobra.Command, e *pflag.NotExistError) string {
	name, shown := e.GetSpecifiedName(), "--"+e.GetSpecifiedName()
	if short := e.GetSpecifiedShortnames(); short != "" {
		name, _, _ = strings.Cut(short, "=")
		shown = "-" + name
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	text := "unknown flag " + shown
	near := lang.Suggest(name, names)
	if slices.Contains(names, name) {
		near = name // with two hyphens
	}
	if near != "" && len(name) > 1 {
		text += "\nDid you mean: --" + near
	}
	return text
}

// outOfRange reports whether a text is a number that an int does not hold.
func outOfRange(text string) bool {
	_, err := strconv.ParseInt(text, 0, 0)
	return errors.Is(err, strconv.ErrRange)
}

// reason says what a flag takes, where the error is of a package that speaks to programmers.
func reason(e *pflag.InvalidValueError) string {
	var list *csv.ParseError
	switch kind := e.GetFlag().Value.Type(); {
	case kind == "int" && outOfRange(e.GetValue()):
		return "the number is out of range"
	case kind == "int" || kind == "count":
		return "it takes a whole number, such as 8"
	case kind == "bool":
		return "it takes true or false"
	case kind == "duration":
		return "it takes a duration with its unit, such as 30s, 5m or 6h"
	case errors.As(e, &list):
		return "it takes names with commas between them"
	}
	return e.Unwrap().Error()
}
