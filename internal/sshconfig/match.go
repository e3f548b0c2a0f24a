package sshconfig

import (
	"errors"
	"fmt"
	"strings"
)

// wildcard reports whether text matches a pattern with * and ?: ssh_config(5), PATTERNS.
func wildcard(pattern, text string) bool {
	p, t := 0, 0
	star, retry := -1, 0 // the last asterisk, and the end of the text that it matches
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			retry++
			p, t = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// inList reports whether text matches a comma-separated list of patterns. A matching pattern that
// starts with ! excludes the text.
func inList(list, text string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if wildcard(pattern, text) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchesHost evaluates a Host line.
func (q *query) matchesHost(patterns []string) state {
	found := inactive
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if wildcard(pattern, q.host) {
			if negated {
				return inactive
			}
			found = active
		}
	}
	return found
}

// matches evaluates a Match line. A criterion that mirrorform does not evaluate makes the line
// undecided, unless another one excludes the host.
func (q *query) matches(args []string, place string) (state, error) {
	result, criteria := active, 0
	for i := 0; i < len(args); i++ {
		criterion, negated := strings.CutPrefix(args[i], "!")
		name, arg, joined := strings.Cut(criterion, "=")
		name = strings.ToLower(name)
		var holds state
		switch name {
		case "all":
			if joined || criteria > 1 || i+1 < len(args) {
				return inactive, errors.New("criterion all of Match must not have others beside it")
			}
			criteria++
			if negated {
				result = inactive
			}
			continue
		case "canonical": // names are never canonicalized here
			holds = inactive
		case "final":
			holds = undecided
		case "host", "originalhost", "user", "localuser", "exec", "localnetwork", "version", "tagged", "command", "sessiontype":
			if !joined {
				if i++; i >= len(args) {
					return inactive, fmt.Errorf("criterion %s of Match has no argument", name)
				}
				arg = args[i]
			}
			if arg == "" && name != "tagged" && name != "command" {
				return inactive, fmt.Errorf("criterion %s of Match has no argument", name)
			}
			if result == inactive && name == "exec" { // as ssh does: nothing runs for other hosts
				holds = inactive
				break
			}
			var err error
			if holds, err = q.holds(name, arg); err != nil {
				return inactive, err
			}
		default:
			return inactive, fmt.Errorf("unknown Match criterion %q", name)
		}
		criteria++
		if negated {
			holds = active - holds // undecided remains undecided
		}
		if result = min(result, holds); holds == undecided {
			q.match = fmt.Sprintf("Match %s at %s, which mirrorform does not evaluate", name, place)
		}
	}
	return result, nil
}

// holds evaluates one criterion.
func (q *query) holds(name, arg string) (state, error) {
	var text string
	switch name {
	case "exec":
		if !q.config.programs {
			return undecided, nil
		}
		return q.runs(arg)
	case "host": // matches the value of HostName so far
		text = strings.ToLower(q.hostName())
		arg = strings.ToLower(arg)
	case "originalhost":
		text, arg = strings.ToLower(q.host), strings.ToLower(arg)
	case "user":
		text = q.user()
		if text == "" {
			text = q.config.self.Username
		}
	case "localuser":
		text = q.config.self.Username
	default:
		return undecided, nil
	}
	if inList(arg, text) {
		return active, nil
	}
	return inactive, nil
}

// runs evaluates exec, with what is known about the host so far.
func (q *query) runs(text string) (state, error) {
	s := &Settings{HostName: strings.ToLower(q.hostName()), User: q.user(), Port: q.given.Port}
	if v, ok := q.first["port"]; ok && s.Port == 0 {
		s.Port = parsePort(v.args[0])
	}
	if v, ok := q.first["hostkeyalias"]; ok {
		s.HostKeyAlias = strings.ToLower(v.args[0])
	}
	command, err := q.command(text, s, "dhikLlnpru")
	if err != nil {
		return inactive, fmt.Errorf("exec of Match: %w", err)
	}
	if ok, err := q.config.succeeds(command); err != nil || !ok {
		return inactive, err
	}
	return active, nil
}
