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

// Limits of an rsync daemon's answer, including its message of the day.
const (
	maxModules   = 2000      // lines
	maxRsyncSize = 256 << 10 // bytes
)

// rsync checks that the listed rsync modules are there.
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

// rsyncModule requests a daemon's list of modules, and access to the module.
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
		p.c.add(rawFinding{Error, CheckRsync, "the rsync daemon does not answer: " + reason(err),
			"start it, or remove the rsync URL from the entry", ""}, name, false)
		return
	}
	if _, err := p.rsyncAsk(ctx, f, address, module); err != nil {
		message := fmt.Sprintf("the daemon has no readable module %s: %s", clean(module), clean(err.Error()))
		p.c.add(rawFinding{Error, CheckRsync, message, "see rsyncd.conf(5)", ""}, name, false)
		return
	}
	if !slices.Contains(modules, module) {
		p.c.add(rawFinding{Note, CheckRsync, "the module " + clean(module) + " can be read, but is not in the daemon's list",
			"to list it, set list = yes in rsyncd.conf(5)", ""}, name, false)
	}
}

// rsyncAsk performs the start of rsync's daemon protocol (csprotocol.txt in rsync's source): both
// sides send their version, then the client names a module or requests the list. It returns the
// listed modules, or, for a module, nil if it is accessible.
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
		return nil, errors.Join(errors.New("the greeting is not that of an rsync daemon"), lines.Err())
	}
	// Version 29 is the last with only a number in the greeting; every daemon supports it.
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
			return nil, errors.New("it requires a password")
		}
		// A line of the list is NAME, spaces, a tab and a comment. A line of this form in the
		// message of the day does no harm.
		if name, _, ok := strings.Cut(line, "\t"); ok {
			modules = append(modules, strings.TrimRight(name, " "))
		}
	}
	return nil, errors.Join(errors.New("the answer is incomplete"), lines.Err())
}
