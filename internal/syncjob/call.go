package syncjob

import (
	"strconv"
	"strings"
)

// call is the parsed command line.
type call struct {
	name, mode  string // mode: "", "progress", "guard", "record", "cron" or "timer"
	allow       bool
	pid, status int
	argv        []string // of cron and timer: the command
}

func parseCall(args []string) (c call, ok bool) {
	if len(args) == 0 || !validName(args[0]) {
		return c, false
	}
	c.name = args[0]
	rest := args[1:]
	if len(rest) == 3 && rest[0] == "--record" {
		pid, pidErr := strconv.ParseUint(rest[1], 10, 31)
		status, statusErr := strconv.ParseUint(rest[2], 10, 16)
		c.mode, c.pid, c.status = "record", int(pid), int(status)
		return c, pidErr == nil && statusErr == nil
	}
	if len(rest) > 1 && (rest[0] == "--cron" || rest[0] == "--timer") {
		c.mode, c.argv = rest[0][2:], rest[1:]
		return c, true
	}
	for i, a := range rest {
		switch {
		case a == "--guard" && len(rest) == 1:
			c.mode = "guard"
		case a == "--progress" && i == 0:
			c.mode = "progress"
		case a == "--allow-deletions" && !c.allow:
			c.allow = true
		default:
			return c, false
		}
	}
	return c, true
}

// validName reports whether s is a valid name of a job: it becomes part of file names.
func validName(s string) bool {
	const taken = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) <= 80 && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(taken, r) })
}
