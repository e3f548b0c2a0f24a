package sshconfig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"time"
)

// programLimit is how long a program of Match exec may take.
const programLimit = 20 * time.Second

// plainValue matches values that a shell does not interpret, and no program takes for an option.
// What a configuration says about a host becomes a part of a command only if it is one.
var plainValue = regexp.MustCompile(`^[A-Za-z0-9_.:][A-Za-z0-9_.:@%+-]*$`)

// Shell returns the program that runs commands of the file, as ssh(1) does: SHELL, or sh.
func Shell() string {
	if shell := os.Getenv("SHELL"); shell != "" {
		return shell
	}
	return "/bin/sh"
}

// command expands the percent tokens of a command, of which the letters in allowed may occur.
// Variables are the shell's.
func (q *query) command(text string, s *Settings, allowed string) (string, error) {
	all, tokens := q.tokens(s), map[byte]string{}
	for i := range len(allowed) {
		tokens[allowed[i]] = all[allowed[i]]
	}
	expanded, used, err := replace(text, tokens)
	if err != nil {
		return "", err
	}
	for _, letter := range []byte("hknpr") { // those that do not come from this machine alone
		if used[letter] && !plainValue.MatchString(tokens[letter]) {
			return "", fmt.Errorf("the token %%%c is %q here, which a shell could interpret: use another name", letter, tokens[letter])
		}
	}
	return expanded, nil
}

// succeeds runs a command of Match exec and reports whether its exit status was 0. Each command
// runs once.
func (c *Config) succeeds(command string) (bool, error) {
	c.running.Lock()
	defer c.running.Unlock()
	if ok, known := c.ran[command]; known {
		return ok, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, Shell(), "-c", command) // the operator's own file, by ssh_config(5)
	cmd.WaitDelay = time.Second                             // for what it leaves in the background
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (ctx.Err() != nil || !errors.As(err, &exit)) {
		return false, fmt.Errorf("exec %q of Match: %w", command, errors.Join(ctx.Err(), err))
	}
	if c.ran == nil {
		c.ran = map[string]bool{}
	}
	c.ran[command] = err == nil
	return err == nil, nil
}
