package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// notInstalled says why a script that installs the helper failed, by its exit status.
var notInstalled = map[int]string{
	exitNoDirectory: "it cannot be made or written to",
	exitWrongDigest: "what arrived there is not what was sent",
	exitNotRunnable: "programs cannot be executed there",
	exitNotRoots:    "it is a symbolic link, or belongs to another user than root",
	exitNoSpace:     "the helper cannot be written there",
}

// asRoot tells whether the helper runs as root.
func (t Target) asRoot() bool { return t.Become != "none" || t.User == "root" }

// mayAsk tells whether sudo may ask for a password, which there is then.
func (t Target) mayAsk() bool { return t.Become == "sudo" && t.BecomePassword != nil }

// launchAsRoot runs the helper that root has in a place of its own. Where there is none, or a wrong
// one, it is made there. Nothing that the login account can write to is ever run, or read, as root.
func (s *session) launchAsRoot(ctx context.Context, bundle Bundle) (*Link, error) {
	nonce := newNonce()
	link, err := s.run(ctx, bundle, rootCommand(s.target.rootPlaces, bundle.ID(), nonce, s.become()), nonce)
	switch {
	case err == nil:
		return link, nil
	case errors.Is(err, errMissing):
	case replaceable(err):
		s.opts.Log(fmt.Sprintf("host %s: %v; replacing it", s.target.Name, err))
	default:
		return nil, err
	}
	s.guard.enterFor("pushing the helper", s.opts.TransferTimeout)
	host, err := s.survey(ctx)
	if err != nil {
		return nil, err
	}
	var refused []string
	for _, place := range s.target.rootPlaces {
		link, err := s.deliver(ctx, bundle, host.arch, place)
		if err == nil {
			s.opts.Log(fmt.Sprintf("host %s: pushed the helper to %s", s.target.Name, place.dir()))
			return link, nil
		}
		reason := whyUnusable(err)
		if reason == "" {
			return nil, err
		}
		refused = append(refused, place.dir()+": "+reason)
	}
	return nil, fmt.Errorf("push the helper: no directory of root's on the host can hold it: %s; make one of them writable for root, and executable (no noexec mount)",
		strings.Join(refused, "; "))
}

// whyUnusable says why a place cannot have the helper, if that is what an error is about.
func whyUnusable(err error) string {
	var unusable *unusableError
	var blocked *notRunnableError
	switch {
	case errors.As(err, &unusable):
		return unusable.reason
	case errors.As(err, &blocked):
		return blocked.reason
	}
	return ""
}

// deliver has root make the helper its own, in a place, and run it there.
func (s *session) deliver(ctx context.Context, bundle Bundle, arch string, place rootPlace) (*Link, error) {
	d, data, err := newDelivery(ctx, bundle, arch, place)
	if err != nil {
		return nil, err
	}
	nonce := newNonce()
	p, err := s.start(ctx, d.command(nonce, s.become()))
	if err != nil {
		return nil, err
	}
	p.installs, p.offer = true, data
	return s.greet(ctx, p, bundle, nonce)
}

// newDelivery is the bundle's helper for an architecture, on its way to a place.
func newDelivery(ctx context.Context, bundle Bundle, arch string, place rootPlace) (delivery, []byte, error) {
	data, digest, err := bundle.Binary(ctx, arch)
	if err != nil {
		return delivery{}, nil, err
	}
	return delivery{place: place, temp: newTempName(), digest: digest, size: len(data), id: bundle.ID()}, data, nil
}

// become is the prefix of the target's command lines that makes them root's.
func (s *session) become() string {
	return become(s.target.Become, s.target.mayAsk())
}
