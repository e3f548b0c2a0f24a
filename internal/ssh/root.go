package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// notInstalled maps the exit statuses of the scripts that install the helper to reasons.
var notInstalled = map[int]string{
	exitNoDirectory: "it cannot be created or written to",
	exitWrongDigest: "what arrived differs from what was sent",
	exitNotRunnable: "programs cannot be executed there",
	exitNotRoots:    "it is a symbolic link, or does not belong to root",
	exitNoSpace:     "the helper cannot be written there",
}

// asRoot reports whether the helper runs as root.
func (t Target) asRoot() bool { return t.Become != "none" || t.User == "root" }

// mayAsk reports whether sudo may ask for a password, because the target can provide one.
func (t Target) mayAsk() bool { return t.Become == "sudo" && t.BecomePassword != nil }

// launchAsRoot runs the helper from one of root's places, and installs it there if it is missing or
// wrong. Root never runs or reads anything that the login account can write to.
func (s *connection) launchAsRoot(ctx context.Context, bundle Bundle) (*Link, error) {
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
	return nil, fmt.Errorf("push the helper: no usable directory on the host: %s; make one of them writable for root, "+
		"on a file system without noexec", strings.Join(refused, "; "))
}

// whyUnusable returns why a directory cannot be used for the helper, or "" if the error has another
// cause.
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

// deliver makes root install the helper in a place and run it.
func (s *connection) deliver(ctx context.Context, bundle Bundle, arch string, place rootPlace) (*Link, error) {
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

// newDelivery returns the delivery of the bundle's helper for an architecture to a place, and the
// helper's bytes.
func newDelivery(ctx context.Context, bundle Bundle, arch string, place rootPlace) (delivery, []byte, error) {
	data, digest, err := bundle.Binary(ctx, arch)
	if err != nil {
		return delivery{}, nil, err
	}
	return delivery{place: place, temp: newTempName(), digest: digest, size: len(data), id: bundle.ID()}, data, nil
}

// become returns the prefix that runs the target's command lines as root.
func (s *connection) become() string {
	return become(s.target.Become, s.target.mayAsk())
}
