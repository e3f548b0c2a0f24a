package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

const (
	// maxAnswerTries is how often keyboard-interactive authentication is begun: ssh_config(5), NumberOfPasswordPrompts.
	maxAnswerTries = 3
	// maxQuestions bounds what one host may ask on one connection.
	maxQuestions = 16
)

// errNotNow keeps a host from asking a human while there are keys that have not been tried.
var errNotNow = errors.New("there are more keys to try")

// questions answers what a host asks on one connection by the method keyboard-interactive (RFC 4256).
type questions struct {
	ring  *keyring
	host  string
	mayBe func() bool // tells whether it is time to ask a human

	asked int
	err   error // why there is no answer
}

// method is the authentication method.
func (q *questions) method(ctx context.Context, pause func() func()) gossh.AuthMethod {
	return gossh.RetryableAuthMethod(gossh.KeyboardInteractive(func(_, instruction string, prompts []string, _ []bool) ([]string, error) {
		switch {
		case len(prompts) == 0: // something to read, or the end of the conversation
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

// ask asks a human one question.
func (q *questions) ask(ctx context.Context, pause func() func(), question string) (string, error) {
	if q.ring.answer == nil {
		return "", fmt.Errorf("the host asks %s, and there is nobody to answer", quote(question))
	}
	type reply struct {
		text string
		err  error
	}
	replies := make(chan reply, 1)
	defer pause()()
	go func() { // what waits for a human must not keep those from leaving who are cancelled
		q.ring.prompt.Lock()
		defer q.ring.prompt.Unlock()
		if ctx.Err() != nil {
			return // it was another's turn for too long
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

// shorten bounds a question, and leaves out the colon at its end, which the prompt has anyway.
func shorten(question string) string {
	const limit = 400
	if len(question) > limit {
		question = question[:limit] + "…"
	}
	return strings.TrimRight(question, ": \t\r\n")
}
