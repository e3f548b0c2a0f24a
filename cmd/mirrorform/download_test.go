package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// downloadsKey is the key of a script's running downloads, by name.
type downloadsKey struct{}

// running is a download that takes as long as it is asked to.
type running struct {
	end    context.CancelFunc
	body   io.ReadCloser
	finish chan struct{} // closed: the rest at once
	done   chan struct{} // closed: it has ended
	bytes  int64
	err    error
}

// download downloads a file while the script goes on. It is slow until it is asked to finish, so
// that whatever comes between happens during the download, however long that takes:
//
//	download start NAME URL ADDRESS   with ADDRESS instead of the URL's host
//	download finish NAME BYTES        fails if that is not what came
func download(ts *testscript.TestScript, neg bool, args []string) {
	all := ts.Value(downloadsKey{}).(map[string]*running)
	switch {
	case !neg && len(args) == 4 && args[0] == "start" && all[args[1]] == nil:
		r, err := startDownload(args[2], args[3])
		ts.Check(err)
		all[args[1]] = r
		ts.Defer(r.end)
	case !neg && len(args) == 3 && args[0] == "finish" && all[args[1]] != nil:
		r := all[args[1]]
		delete(all, args[1])
		close(r.finish)
		<-r.done
		if got := fmt.Sprint(r.bytes); r.err != nil || got != args[2] {
			ts.Fatalf("download %s: %s of %s bytes came: %v", args[1], got, args[2], r.err)
		}
	default:
		ts.Fatalf("usage: download start NAME URL ADDRESS | download finish NAME BYTES")
	}
}

func startDownload(url, address string) (*running, error) {
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(address, port))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		cancel()
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	r := &running{end: cancel, body: resp.Body, finish: make(chan struct{}), done: make(chan struct{})}
	go r.read(ctx)
	return r, nil
}

// read reads 64 KiB each 100 ms, which no server takes for a client that is gone, and then the rest.
func (r *running) read(ctx context.Context) {
	defer close(r.done)
	defer func() { _ = r.body.Close() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for slow := true; slow && r.err == nil; {
		var n int64
		n, r.err = io.CopyN(io.Discard, r.body, 64<<10)
		r.bytes += n
		select {
		case <-r.finish:
			slow = false
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	if r.err == nil {
		var n int64
		n, r.err = io.Copy(io.Discard, r.body)
		r.bytes += n
	}
}
