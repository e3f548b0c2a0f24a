package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

const (
	// maxAnswerTries is how often keyboard-interactive authentication is tried: ssh_config(5),
	// NumberOfPasswordPrompts.
	maxAnswerTries = 3
	// maxQuestions is how many questions a host may ask on one connection.
	maxQuestions = 16
)

// errNotNow keeps a host from asking the user while there are keys left to try.
var errNotNow = errors.New("there are more keys to try")

// questions answers a host's questions on one connection (keyboard-interactive, RFC 4256).
type questions struct {
	ring  *keyring
	host  string
	mayBe func() bool // reports whether the user may be asked now

	asked int
	err   error // why there is no answer
}

// method returns the authentication method.
func (q *questions) method(ctx context.Context, pause func() func()) gossh.AuthMethod {
	return gossh.RetryableAuthMethod(gossh.KeyboardInteractive(func(_, instruction string, prompts []string, _ []bool) ([]string, error) {
		switch {
		case len(prompts) == 0: // an instruction, or the end of the dialogue
			return nil, nil
		case !q.mayBe():
			return nil, errNotNow
		}
		if q.asked += len(prompts); q.asked > maxQuestions {
			q.err = fmt.Errorf("the host asks more than %d questions", maxQuestions)
			return nil, q.err
		}
		answers := make([]string, len(prompts))
		for i, prompt := range prompts {
			if instruction = strings.TrimSpace(instruction); i == 0 && instruction != "" {
				prompt = instruction + " " + prompt
			}
			if answers[i], q.err = q.ask(ctx, pause, shorten(prompt)); q.err != nil {
				return nil, q.err
			}
		}
		return answers, nil
	}), maxAnswerTries)
}

// ask asks the user one question.
func (q *questions) ask(ctx context.Context, pause func() func(), question string) (string, error) {
	if q.ring.answer == nil {
		return "", fmt.Errorf("the host asks %s, and there is no terminal to answer on", quote(question))
	}
	type reply struct {
		text string
		err  error
	}
	replies := make(chan reply, 1)
	defer pause()()
	go func() { // so that a cancelled host does not wait for the user
		q.ring.prompt.Lock()
		defer q.ring.prompt.Unlock()
		if ctx.Err() != nil {
			return // cancelled while another prompt was open
		}
		text, err := q.ring.answer(q.host, question)
		replies <- reply{text, err}
	}()
	select {
	case r := <-replies:
		if r.err != nil {
			return "", fmt.Errorf("the host asks %s: %w", quote(question), r.err)
		}
		return r.text, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// shorten limits the length of a question and trims the colon at its end, which the prompt adds
// again.
func shorten(question string) string {
	const limit = 400
	if len(question) > limit {
		question = question[:limit] + "…"
	}
	return strings.TrimRight(question, ": \t\r\n")
}
