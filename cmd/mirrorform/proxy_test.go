package main

import (
	"io"
	"net"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
	"github.com/rogpeppe/go-internal/testscript"
)

// proxyKey is the key of a script's proxy.
type proxyKey struct{}

// proxy starts an HTTP proxy on the lab's gateway that has only the method CONNECT, or prints
// what it answered:
//
//	proxy start ACCOUNT:PASSWORD   puts its address into $PROXY
//	proxy answers                  prints a line for each request so far: status and HOST:PORT
func proxy(ts *testscript.TestScript, neg bool, args []string) {
	p, _ := ts.Value(proxyKey{}).(**labtest.ConnectProxy)
	switch {
	case !neg && len(args) == 2 && args[0] == "start" && *p == nil:
		started, err := labtest.StartConnectProxy(net.JoinHostPort(hostsOf(ts).lab.Gateway, "0"), args[1])
		ts.Check(err)
		*p = started
		ts.Defer(started.Close)
		ts.Setenv("PROXY", started.Address)
	case !neg && len(args) == 1 && args[0] == "answers" && *p != nil:
		_, _ = io.WriteString(ts.Stdout(), strings.Join((*p).Answers(), "\n"))
	default:
		ts.Fatalf("usage: proxy start ACCOUNT:PASSWORD | proxy answers")
	}
}
