package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxModules bounds what is read of an rsync daemon: lines of its message of the day and its modules.
const (
	maxModules   = 2000
	maxRsyncSize = 256 << 10
)

// rsync looks whether the listed rsync modules are there.
func (p *probe) rsync(ctx context.Context) {
	for _, raw := range []string{p.m.File.Address.Rsync, p.m.File.AddressOptional.Kitten.Rsync} {
		u, err := url.Parse(raw)
		if raw == "" || err != nil {
			continue
		}
		module, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		for _, f := range []family{ipv4, ipv6} {
			addrs, err := p.v.lookup(ctx, f, u.Hostname())
			if err != nil {
				p.c.add(rawFinding{Error, CheckRsync, reason(err), "", ""}, "rsync/"+strings.ToLower(f.String()), false)
			}
			if addrs = p.permitted(ctx, u.Hostname(), addrs); len(addrs) == 0 {
				continue
			}
			port := u.Port()
			if port == "" {
				port = "873"
			}
			p.expect(1)
			p.rsyncModule(ctx, f, net.JoinHostPort(addrs[0].String(), port), module)
			p.step()
		}
	}
}

// rsyncModule asks a daemon for its list of modules, and whether the module can be entered.
func (p *probe) rsyncModule(ctx context.Context, f family, address, module string) {
	name := "rsync/" + strings.ToLower(f.String())
	var modules []string
	var err error
	pause := p.v.o.Backoff
	for attempt := 1; ; attempt++ {
		modules, err = p.rsyncAsk(ctx, f, address, "#list")
		if err == nil || unreachable(err) || attempt >= p.v.o.Attempts {
			break
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return
		}
	}
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && unreachable(err):
		p.lacks(f)
		return
	case err != nil:
		p.c.add(rawFinding{Error, CheckRsync, "the rsync daemon does not answer: " + reason(err), "start it, or take the rsync URL out of the entry", ""}, name, false)
		return
	}
	if _, err := p.rsyncAsk(ctx, f, address, module); err != nil {
		p.c.add(rawFinding{Error, CheckRsync, fmt.Sprintf("the daemon has no module %s that can be read: %s", clean(module), clean(err.Error())), "see rsyncd.conf(5)", ""}, name, false)
		return
	}
	if !slices.Contains(modules, module) {
		p.c.add(rawFinding{Note, CheckRsync, "the module " + clean(module) + " can be read, and is not in the daemon's list", "list = yes in rsyncd.conf(5) shows it", ""}, name, false)
	}
}

// rsyncAsk speaks the beginning of rsync's daemon protocol (csprotocol.txt of rsync): both sides say their version, the client names a module or asks
// for the list. It returns the modules of the list, or for a module nil when it may be entered.
func (p *probe) rsyncAsk(ctx context.Context, f family, address, request string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, p.v.o.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, f.network(), address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(p.v.o.Timeout)); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(io.LimitReader(conn, maxRsyncSize))
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "@RSYNCD: ") {
		return nil, errors.Join(errors.New("it does not greet as an rsync daemon"), lines.Err())
	}
	// Version 29 is the last whose greeting has no more than a number; every daemon knows it.
	if _, err := io.WriteString(conn, "@RSYNCD: 29\n"+request+"\n"); err != nil {
		return nil, err
	}
	var modules []string
	for n := 0; lines.Scan() && n < maxModules; n++ {
		line := lines.Text()
		switch {
		case line == "@RSYNCD: EXIT" && request == "#list", line == "@RSYNCD: OK" && request != "#list":
			return modules, nil
		case strings.HasPrefix(line, "@ERROR"):
			return nil, errors.New(line)
		case strings.HasPrefix(line, "@RSYNCD: AUTHREQD"):
			return nil, errors.New("it wants a password")
		}
		// A line of the list is NAME, spaces, a tab and a comment. The message of the day has no such form, or does no harm.
		if name, _, ok := strings.Cut(line, "\t"); ok {
			modules = append(modules, strings.TrimRight(name, " "))
		}
	}
	return nil, errors.Join(errors.New("it ends before its answer is whole"), lines.Err())
}
