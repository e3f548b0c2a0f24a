package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiverKey is the key of a script's *receiver.
type receiverKey struct{}

// receiver is where notifications of hosts arrive: a web server and a mail server, on the lab's
// gateway.
type receiver struct {
	web  *httptest.Server
	mail net.Listener

	mu                sync.Mutex
	requests, letters []string
}

// receive starts a receiver, or prints what arrived there since it was asked last:
//
//	receive start      puts the address of the web server into $WEB, of the mail server into $SMTP
//	receive requests   prints a line for each request: method, path and body
//	receive letters    prints each mail, after a line with its envelope
//	receive down       ends both servers
func receive(ts *testscript.TestScript, neg bool, args []string) {
	r, _ := ts.Value(receiverKey{}).(**receiver)
	command := strings.Join(args, " ")
	switch {
	case !neg && command == "start" && *r == nil:
		started, err := startReceiver(hostsOf(ts).lab.Gateway)
		ts.Check(err)
		*r = started
		ts.Defer(started.close)
		ts.Setenv("WEB", started.web.Listener.Addr().String())
		ts.Setenv("SMTP", started.mail.Addr().String())
	case !neg && command == "requests" && *r != nil:
		_, _ = io.WriteString(ts.Stdout(), strings.Join((*r).take(&(*r).requests), "\n"))
	case !neg && command == "letters" && *r != nil:
		_, _ = io.WriteString(ts.Stdout(), strings.Join((*r).take(&(*r).letters), "\n"))
	case !neg && command == "down" && *r != nil:
		(*r).close()
	default:
		ts.Fatalf("usage: receive start | receive requests | receive letters | receive down")
	}
}

func startReceiver(address string) (*receiver, error) {
	r := &receiver{}
	web, err := net.Listen("tcp4", net.JoinHostPort(address, "0"))
	if err != nil {
		return nil, err
	}
	if r.mail, err = net.Listen("tcp4", net.JoinHostPort(address, "0")); err != nil {
		_ = web.Close()
		return nil, err
	}
	r.web = &httptest.Server{Listener: web, Config: &http.Server{Handler: r}} //nolint:gosec // only hosts of the lab connect
	r.web.Start()
	go func() {
		for {
			conn, err := r.mail.Accept()
			if err != nil {
				return // closed
			}
			go r.serveMail(textproto.NewConn(conn))
		}
	}()
	return r, nil
}

func (r *receiver) close() {
	r.web.Close()
	_ = r.mail.Close()
}

func (r *receiver) add(list *[]string, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*list = append(*list, text)
}

// take returns what is in a list, and empties it.
func (r *receiver) take(list *[]string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := *list
	*list = nil
	return got
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(_ http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	r.add(&r.requests, fmt.Sprintf("%s %s %s", q.Method, q.URL.Path, body))
}

// serveMail is a mail server (RFC 5321) that takes every mail. A mail counts when it is complete.
func (r *receiver) serveMail(c *textproto.Conn) {
	defer func() { _ = c.Close() }()
	say := func(format string, args ...any) bool { return c.PrintfLine(format, args...) == nil }
	envelope := ""
	for ok := say("220 receiver"); ok; {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "MAIL":
			envelope = line
			ok = say("250 OK")
		case "RCPT":
			envelope += " " + line
			ok = say("250 OK")
		case "DATA":
			text, err := []byte(nil), error(nil)
			if ok = say("354 go on"); ok {
				text, err = c.ReadDotBytes()
			}
			if err != nil {
				return
			}
			r.add(&r.letters, envelope+"\n"+string(text))
			ok = say("250 OK")
		case "QUIT":
			_ = say("221 bye")
			return
		default: // EHLO, HELO, NOOP, RSET
			ok = say("250 receiver")
		}
	}
}

// A mail is what a client has sent, with its envelope, once.
func TestReceiver(t *testing.T) {
	t.Parallel()
	r, err := startReceiver("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	c, err := textproto.Dial("tcp4", r.mail.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, line := range []string{"", "EHLO host", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "To: c@d\r\n\r\n..text\r\n."} {
		if line != "" {
			if err := c.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if answer, err := c.ReadLine(); err != nil || answer[0] != '2' && answer[0] != '3' {
			t.Fatalf("%q: %q, %v", line, answer, err)
		}
	}
	if got := r.take(&r.letters); len(got) != 1 || got[0] != "MAIL FROM:<a@b> RCPT TO:<c@d>\nTo: c@d\n\n.text\n" {
		t.Errorf("received %q", got)
	}
	if got := r.take(&r.letters); got != nil {
		t.Errorf("received again: %q", got)
	}
}
