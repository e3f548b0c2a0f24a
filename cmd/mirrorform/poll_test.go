package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// pollsKey is the key of a script's pollers, by name.
type pollsKey struct{}

// poller asks for a URL every 100 ms, each time over a new connection, and keeps the wrong answers.
type poller struct {
	url, body string
	client    *http.Client
	end       context.CancelFunc
	ended     sync.WaitGroup
	answers   int
	missed    []string
	down      bool      // the last request was missed
	answered  time.Time // the last time
	longest   time.Duration
}

// poll asks a server over and over while the script goes on:
//
//	poll start NAME URL ADDRESS TEXT   until poll stop NAME, with ADDRESS instead of the URL's host
//	poll stop NAME                     fails if an answer was not status 200 with TEXT in it
//	! poll stop NAME                   fails if all were, or the last was not; logs the interruption
func poll(ts *testscript.TestScript, neg bool, args []string) {
	polls := ts.Value(pollsKey{}).(map[string]*poller)
	switch {
	case !neg && len(args) == 5 && args[0] == "start" && polls[args[1]] == nil:
		p := newPoller(args[2], args[3], args[4])
		polls[args[1]] = p
		ts.Defer(p.stop)
	case len(args) == 2 && args[0] == "stop" && polls[args[1]] != nil:
		p := polls[args[1]]
		delete(polls, args[1])
		p.stop()
		ts.Logf("%s: %d answers, %d missed, longest interruption %v", p.url, p.answers, len(p.missed), p.longest.Round(time.Millisecond))
		switch {
		case neg && (len(p.missed) == 0 || p.down):
			ts.Fatalf("%s: %d missed, the last one too is %v", p.url, len(p.missed), p.down)
		case !neg && (p.answers == 0 || len(p.missed) > 0):
			ts.Fatalf("%s missed:\n%s", p.url, strings.Join(p.missed, "\n"))
		}
	default:
		ts.Fatalf("usage: poll start NAME URL ADDRESS TEXT | poll stop NAME")
	}
}

// newPoller starts a poller, which has had its first answer already.
func newPoller(url, address, body string) *poller {
	p := &poller{url: url, body: body, client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it polls whether the server answers, not who it is
		DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(address, port))
		},
	}}}
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	p.ask(ctx)
	p.ended.Go(func() {
		for tick := time.NewTicker(100 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				p.ask(ctx)
			}
		}
	})
	return p
}

func (p *poller) stop() {
	p.end()
	p.ended.Wait()
}

func (p *poller) ask(ctx context.Context) {
	begin := time.Now()
	err := p.get(ctx)
	switch {
	case ctx.Err() != nil: // the end of the poll came between
	case err != nil:
		p.missed = append(p.missed, begin.Format("15:04:05.000 ")+err.Error())
		p.down = true
	default:
		if p.down {
			p.longest = max(p.longest, time.Since(p.answered))
		}
		p.answers++
		p.answered, p.down = time.Now(), false
	}
}

func (p *poller) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(data), p.body)) {
		err = fmt.Errorf("%s: %.200s", resp.Status, data)
	}
	return err
}
