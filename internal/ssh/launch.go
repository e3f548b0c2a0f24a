package ssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// preambleStart is the common start of the preambles of all versions.
const preambleStart = "\x00mirrorform-helper/"

// errMissing: no directory on the host has the helper.
var errMissing = errors.New("the helper is not on the host")

// wrongHelperError: the program on the host is not this bundle's helper. Pushing the helper again
// may help.
type wrongHelperError struct{ reason string }

func (e *wrongHelperError) Error() string { return "wrong helper: " + e.reason }

// notRunnableError: the host does not execute the helper in its directory.
type notRunnableError struct{ reason string }

func (e *notRunnableError) Error() string { return "the helper cannot be executed: " + e.reason }

// launch runs the helper, as root or as the login account.
func (s *connection) launch(ctx context.Context, bundle Bundle) (*Link, error) {
	if s.target.asRoot() {
		return s.launchAsRoot(ctx, bundle)
	}
	return s.launchAsUser(ctx, bundle)
}

// launchAsUser runs the helper as the login account. It pushes the helper if it is missing, and
// replaces a wrong one once.
func (s *connection) launchAsUser(ctx context.Context, bundle Bundle) (*Link, error) {
	up := &uploader{connection: s, bundle: bundle}
	replaced := false
	for {
		nonce := newNonce()
		link, err := s.run(ctx, bundle, runCommand(bundle.ID(), nonce), nonce)
		switch {
		case err == nil:
			return link, nil
		case errors.Is(err, errMissing) && up.place == 0:
		case replaceable(err) && !replaced:
			replaced = true
			up.place = 0
			s.opts.Log(fmt.Sprintf("host %s: %v; replacing it", s.target.Name, err))
		default:
			return nil, err
		}
		if err := up.push(ctx); err != nil {
			return nil, err
		}
	}
}

// replaceable reports whether pushing the helper again may solve an error.
func replaceable(err error) bool {
	var wrong *wrongHelperError
	var blocked *notRunnableError
	return errors.As(err, &wrong) || errors.As(err, &blocked)
}

// run starts the helper and reads its Hello, which repeats the nonce. The nonce is an argument and
// not input, since OpenSSH accepts a channel's input only once the command runs, which would cost a
// round trip.
func (s *connection) run(ctx context.Context, bundle Bundle, command, nonce string) (*Link, error) {
	s.guard.enter("starting the helper")
	p, err := s.start(ctx, command)
	if err != nil {
		return nil, err
	}
	return s.greet(ctx, p, bundle, nonce)
}

// greet waits for the Hello of a process that should be the helper, and checks it. Before that, it
// sends the helper's bytes if the process asks for them and may have them.
func (s *connection) greet(ctx context.Context, p *process, bundle Bundle, nonce string) (*Link, error) {
	asks, err := s.awaitPreamble(ctx, p, s.target.mayAsk())
	if err == nil && asks {
		// If the write fails, the end of the process explains why.
		_, _ = p.ch.Write(p.offer)
		p.offer = nil
		_, err = s.awaitPreamble(ctx, p, false)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	answer, err := s.awaitHello(ctx, p, nonce)
	if err != nil {
		p.close()
		return nil, err
	}
	digest, err := bundle.Digest(ctx, answer.Facts.Arch)
	if err != nil {
		p.close()
		return nil, err
	}
	if answer.SHA256 != digest {
		p.close()
		return nil, &wrongHelperError{fmt.Sprintf("its SHA-256 is %s, not %s", quote(answer.SHA256), digest)}
	}
	return &Link{Hello: *answer, s: s, p: p}, nil
}

// awaitPreamble reads up to the end of the preamble, or of the line that asks for the helper's
// bytes. It answers sudo's password prompt.
func (s *connection) awaitPreamble(ctx context.Context, p *process, mayAsk bool) (asks bool, err error) {
	var sends bool // set by the goroutine, which may outlive this call
	var ended error
	skipped := make(chan struct{})
	go func() {
		defer close(skipped)
		sends, ended = p.skipToPreamble()
	}()
	asked := false
	for {
		select {
		case <-skipped:
			switch {
			case ended == nil:
				return sends, nil
			case ctx.Err() != nil:
				return false, context.Cause(ctx)
			case errors.Is(ended, io.EOF):
				return false, s.diagnose(ctx, p)
			default:
				return false, ended
			}
		case <-p.stderr.prompts:
			if !mayAsk {
				continue // never send a password to a program that was not started to read one
			}
			if asked {
				return false, s.askedAgain(p.stderr.String())
			}
			asked = true
			if err := s.givePassword(ctx, p); err != nil {
				return false, err
			}
		case <-ctx.Done():
			<-skipped // the connection is being closed; what was printed so far is then noted
			return false, context.Cause(ctx)
		}
	}
}

// givePassword gets the password from the target and writes it to sudo's standard input.
func (s *connection) givePassword(ctx context.Context, p *process) error {
	type reply struct {
		password string
		err      error
	}
	replies := make(chan reply, 1)
	if before := s.target.BeforePassword; before != nil {
		if err := before(s.keyOrigin()); err != nil {
			return fmt.Errorf("%w: sudo asks for the password of user %s, and %w", ErrBecome, s.target.User, err)
		}
	}
	resume := s.guard.pause()
	defer resume()
	go func() {
		password, err := s.target.BecomePassword()
		replies <- reply{password, err}
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case r := <-replies:
		if r.err != nil {
			return fmt.Errorf("%w: sudo asks for a password: %w", ErrBecome, r.err)
		}
		if strings.ContainsAny(r.password, "\n\x00") {
			return fmt.Errorf("%w: the password for sudo contains a newline or NUL", ErrBecome)
		}
		if _, err := io.WriteString(p.ch, r.password+"\n"); err != nil {
			return s.lostError(ctx, err)
		}
		return nil
	}
}

// skipToPreamble reads up to the end of the preamble, or, if there are bytes to send, of the line
// that asks for them. Anything before is noise of login scripts.
func (p *process) skipToPreamble() (asks bool, err error) {
	var noise []byte
	for len(noise) < maxNoise {
		line, err := p.stdout.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			p.addNoise(line)
			return false, err
		}
		if i := bytes.LastIndex(line, []byte(preambleStart)); i >= 0 {
			if string(line[i:]) == wire.Preamble {
				return false, nil
			}
			return false, &wrongHelperError{"unknown protocol " + quote(string(line[i:]))}
		}
		if p.offer != nil && bytes.HasSuffix(line, []byte(send+"\n")) {
			return true, nil
		}
		noise = p.addNoise(line)
	}
	return false, fmt.Errorf("the host printed more than %d KiB before the helper started; check the login scripts; "+
		"the output starts with %s",
		maxNoise>>10, quote(string(noise[:200])))
}

// awaitHello reads the helper's Hello.
func (s *connection) awaitHello(ctx context.Context, p *process, nonce string) (*wire.Hello, error) {
	for {
		m, err := wire.ReadWithin(p.stdout, func() int { return wire.RoomForManifest })
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, wire.ErrFrame):
			return nil, &wrongHelperError{quote(err.Error())}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, s.diagnose(ctx, p)
		case err != nil:
			return nil, s.lostError(ctx, err)
		case m.Beat != nil:
			continue
		case m.Failure != nil:
			return nil, &wrongHelperError{"it reports " + quote(m.Failure.Message)}
		case m.Hello == nil:
			return nil, &wrongHelperError{"its first message is not a greeting"}
		case m.Hello.Protocol != wire.Protocol:
			return nil, &wrongHelperError{fmt.Sprintf("it speaks protocol %d, not %d", m.Hello.Protocol, wire.Protocol)}
		case m.Hello.Nonce != nonce:
			return nil, &wrongHelperError{"its greeting does not belong to this connection"}
		case m.Hello.Facts == nil:
			return nil, &wrongHelperError{"its greeting has no facts about the host"}
		}
		return m.Hello, nil
	}
}

// refusals are texts that sudo and sudo-rs print between a wrong password and their next prompt.
var refusals = []string{"try again", "incorrect", "Authentication failed"}

// askedAgain is the error of a sudo that asks again after it got a password. printed is its output
// in between.
func (s *connection) askedAgain(printed string) error {
	if slices.ContainsFunc(refusals, func(text string) bool { return strings.Contains(printed, text) }) {
		return fmt.Errorf("%w: sudo refused the password for user %s", ErrBecome, s.target.User)
	}
	said := ""
	if printed != "" {
		said = "; it printed " + quote(printed)
	}
	return fmt.Errorf("%w: sudo did not refuse the password for user %s, but asks again, for a second factor "+
		"perhaps%s; mirrorform can "+
		"only answer the password: configure sudo to ask this user for nothing else (NOPASSWD in sudoers, or "+
		"/etc/pam.d/sudo), or log in as root",
		ErrBecome, s.target.User, said)
}

// loginRefusals are texts of a host that lets a user log in but runs no command.
var loginRefusals = []advice{
	{"", []string{"Password change required but no TTY", "Your password has expired", "required to change your password"},
		"the password of user %s has expired, and the host runs no command until it is changed; as root on the host, " +
			"run: passwd %[1]s"},
	{"", []string{"This account is currently not available"},
		"the login shell of user %s is nologin(8); log in as another user, or change it as root on the host: usermod " +
			"--shell /bin/sh %[1]s"},
}

// loginError returns the error of a host that runs no command for this user, or nil.
func (s *connection) loginError(p *process) error {
	for _, text := range []string{p.stderr.String(), string(p.addNoise(nil))} {
		for _, a := range loginRefusals {
			if slices.ContainsFunc(a.said, func(said string) bool { return strings.Contains(text, said) }) {
				return fmt.Errorf("%s; it printed %s", fmt.Sprintf(a.text, s.target.User), quote(text))
			}
		}
	}
	return nil
}

// noShellError is the error of an account whose login shell does not run /bin/sh.
func (s *connection) noShellError(p *process) error {
	if err := s.loginError(p); err != nil {
		return err
	}
	return fmt.Errorf("the host failed to run /bin/sh: %s; check the login shell of user %s on the host: getent "+
		"passwd %s",
		p.outcome(), s.target.User, s.target.User)
}

// diagnose returns why a process that should have been the helper ended.
func (s *connection) diagnose(ctx context.Context, p *process) error {
	if err := s.ending(ctx, p); err != nil {
		return err
	}
	if p.status == 127 && bytes.Contains(p.addNoise(nil), []byte(missing)) {
		return errMissing
	}
	if err := s.loginError(p); err != nil {
		return err
	}
	stderr := p.stderr.String()
	if reason := notInstalled[p.status]; p.installs && reason != "" {
		return &unusableError{reason: reason + ": " + p.outcome()}
	}
	if notRunnable(p.status, stderr) {
		return &notRunnableError{p.outcome()}
	}
	if err := becomeError(s.target, p, stderr); err != nil {
		return err
	}
	return &wrongHelperError{"it ended at once: " + p.outcome()}
}

// notRunnable reports whether the shell or sudo found the helper's file but could not execute it.
// sudo and sudo-rs have their own exit status for this.
func notRunnable(status int, stderr string) bool {
	for _, text := range []string{
		"unable to execute", "sudo-rs: cannot execute", "Permission denied", "cannot execute", "Exec format error",
	} {
		if strings.Contains(stderr, text) &&
			(status == 126 || text == "unable to execute" || strings.HasPrefix(text, "sudo-rs")) {
			return true
		}
	}
	return false
}

// advice explains messages of sudo or doas.
type advice struct {
	how  string   // sudo or doas
	said []string // texts in their output
	text string   // explanation and next step; %s is the user
}

var becomeAdvice = []advice{
	{"sudo", []string{"a password is required", "a terminal is required to read the password",
		"no tty present and no askpass", "interactive authentication is required"},
		"sudo asks for the password of user %s: provide it with --ask-become-pass or become_password, or permit sudo " +
			"without one (NOPASSWD in sudoers)"},
	{"sudo", []string{"incorrect password attempt", "incorrect authentication attempt", "Authentication failed",
		"Sorry, try again", "no password was provided",
		"Authentication failure", "Authentication token"},
		"sudo refused the password for user %s"},
	{"sudo", []string{"must have a tty"},
		"sudo requires a terminal: remove requiretty from sudoers, at least for user %s"},
	{"sudo", []string{"is not in the sudoers file", "not allowed to", "may not run sudo", "not allowed to execute",
		"afraid I can't do that"},
		"sudo does not permit user %s to become root: add the user to sudoers, or log in as another user"},
	{"sudo", []string{"sudo: not found", "sudo: No such file"},
		"sudo is not installed on the host: install it, use become = \"doas\", or log in as root (user %s cannot become " +
			"root)"},
	{"doas", []string{"Operation not permitted"},
		"doas does not permit user %s to become root: add a line to doas.conf(5): permit nopass %[1]s"},
	{"doas", []string{"Authorization required", "Authentication required", "Authorization failed", "a tty is required"},
		"doas asks for the password of user %s, but reads it from a terminal only: add nopass to the user's line in " +
			"doas.conf(5), or use become = \"sudo\""},
	{"doas", []string{"doas: not found", "doas: No such file"},
		"doas is not installed on the host: install it, use become = \"sudo\", or log in as root (user %s cannot become " +
			"root)"},
}

// becomeError returns the error of sudo or doas, if one of them is why the process ended.
func becomeError(t Target, p *process, stderr string) error {
	if t.Become == "none" {
		return nil
	}
	for _, a := range becomeAdvice {
		if a.how == t.Become && slices.ContainsFunc(a.said, func(s string) bool { return strings.Contains(stderr, s) }) {
			return fmt.Errorf("%w: %s; %s printed %s", ErrBecome, fmt.Sprintf(a.text, t.User), t.Become, quote(stderr))
		}
	}
	if strings.Contains(stderr, t.Become+":") || t.Become == "sudo" && strings.Contains(stderr, "sudo-rs:") {
		return fmt.Errorf("%w: %s failed: %s", ErrBecome, t.Become, p.outcome())
	}
	return nil
}
