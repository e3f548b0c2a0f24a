package agent

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/internal/wire"
	"golang.org/x/sys/unix"
)

// user is a line of passwd(5), group one of group(5).
type user struct {
	name, gecos, home, shell string
	uid, gid                 int
}

type group struct {
	name    string
	gid     int
	members []string
}

// parseColons calls each for the lines that have at least n fields. Lines of NIS (+name, -name) are no accounts.
func parseColons(data []byte, n int, each func(f []string)) {
	for _, line := range lines(string(data)) {
		text := strings.TrimSuffix(line, "\n")
		if f := strings.Split(text, ":"); len(f) >= n && f[0] != "" && strings.IndexByte("+-#", f[0][0]) < 0 {
			each(f)
		}
	}
}

func parsePasswd(data []byte) (users []user) {
	parseColons(data, 7, func(f []string) {
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			users = append(users, user{name: f[0], uid: uid, gid: gid, gecos: f[4], home: f[5], shell: f[6]})
		}
	})
	return users
}

func parseGroup(data []byte) (groups []group) {
	parseColons(data, 4, func(f []string) {
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			return
		}
		members := strings.FieldsFunc(f[3], func(r rune) bool { return r == ',' || r == ' ' })
		sortStrings(members)
		groups = append(groups, group{name: f[0], gid: gid, members: members})
	})
	return groups
}

// accounts are the users and groups of the host, read once and completed by getent(1) for keys that the files do not have.
type accounts struct {
	mu     sync.Mutex
	host   *host
	users  []user
	groups []group
	err    error
}

func (h *host) accounts() *accounts {
	a := &accounts{host: h}
	data, err := readFile(h.passwd)
	a.users, a.err = parsePasswd(data), err
	if data, err = readFile(h.group); err != nil {
		a.err = err
	}
	a.groups = parseGroup(data)
	return a
}

// complete asks getent once for each kind about names and numbers that are not known yet (LDAP, SSSD).
func (a *accounts) complete(stop until, users, groups []string) {
	if !a.host.getent {
		return
	}
	var wg sync.WaitGroup
	lookup := func(database string, wanted []string, known func(string) bool, add func([]byte)) {
		var keys []string
		for _, k := range wanted {
			if k != "" && k[0] != '-' && !strings.ContainsAny(k, ":\n") && !contains(keys, k) && !known(k) {
				keys = append(keys, k)
			}
		}
		if len(keys) == 0 {
			return
		}
		wg.Go(func() {
			// A failure means that there are no such accounts: exit status 2 is that, and more.
			if o, err := ask(stop, append([]string{"getent", database, "--"}, keys...)...); err == nil {
				a.mu.Lock()
				defer a.mu.Unlock()
				add([]byte(o.stdout.String()))
			}
		})
	}
	a.mu.Lock()
	lookup("passwd", users, func(k string) bool { return a.user(k) != nil },
		func(data []byte) { a.users = append(a.users, parsePasswd(data)...) })
	lookup("group", groups, func(k string) bool { return a.group(k) != nil },
		func(data []byte) { a.groups = append(a.groups, parseGroup(data)...) })
	a.mu.Unlock()
	wg.Wait()
}

// user finds an account by its name, or by its number where that is no name.
func (a *accounts) user(key string) *user {
	i := slices.IndexFunc(a.users, func(u user) bool { return u.name == key })
	if n, err := strconv.Atoi(key); i < 0 && err == nil {
		i = slices.IndexFunc(a.users, func(u user) bool { return u.uid == n })
	}
	if i < 0 {
		return nil
	}
	return &a.users[i]
}

func (a *accounts) group(key string) *group {
	i := slices.IndexFunc(a.groups, func(g group) bool { return g.name == key })
	if n, err := strconv.Atoi(key); i < 0 && err == nil {
		i = slices.IndexFunc(a.groups, func(g group) bool { return g.gid == n })
	}
	if i < 0 {
		return nil
	}
	return &a.groups[i]
}

// userName is a number's name, or the number.
func (a *accounts) userName(uid int) string {
	if u := a.user(strconv.Itoa(uid)); u != nil {
		return u.name
	}
	return strconv.Itoa(uid)
}

func (a *accounts) groupName(gid int) string {
	if g := a.group(strconv.Itoa(gid)); g != nil {
		return g.name
	}
	return strconv.Itoa(gid)
}

// askUser answers AskUser. Only where it is asked for does it look at the home, which may be on a
// server that does not answer.
func (a *accounts) askUser(name string, usable bool) wire.Answer {
	if a.err != nil {
		return failed(a.err)
	}
	u := a.user(name)
	if u == nil || u.name != name {
		return wire.Answer{User: &wire.User{UID: -1, GID: -1}}
	}
	w := &wire.User{UID: u.uid, GID: u.gid, Home: u.home, Shell: u.shell, Gecos: printable(u.gecos)}
	if g := a.group(strconv.Itoa(u.gid)); g != nil {
		w.Group = g.name
	}
	for _, g := range a.groups {
		if contains(g.members, name) && !contains(w.Groups, g.name) {
			w.Groups = append(w.Groups, g.name)
		}
	}
	sortStrings(w.Groups)
	if usable {
		w.NoHome = kindOf(u.home) != unix.S_IFDIR
		data, err := readFile(path.Dir(a.host.passwd) + "/shadow")
		if err != nil && !absent(err) {
			return failed(err)
		}
		w.Expired = expired(data, name, time.Now())
	}
	return wire.Answer{User: w}
}

// expired tells whether an account has expired: the eighth field of shadow(5) is a day, counted
// from 1970 on.
func expired(shadow []byte, name string, now time.Time) (yes bool) {
	parseColons(shadow, 8, func(f []string) {
		day, err := strconv.ParseInt(f[7], 10, 64)
		yes = yes || f[0] == name && err == nil && now.Unix() >= day*24*60*60
	})
	return yes
}

// askGroup answers AskGroup.
func (a *accounts) askGroup(name string) wire.Answer {
	if a.err != nil {
		return failed(a.err)
	}
	g := a.group(name)
	if g == nil || g.name != name {
		return wire.Answer{Group: &wire.Group{GID: -1}}
	}
	return wire.Answer{Group: &wire.Group{GID: g.gid, Members: g.members}}
}

// ids resolves the owner and group of attributes; -1 stands for one that is not set.
func (h *host) ids(at wire.Attributes) (uid, gid int, err error) {
	uid, gid = -1, -1
	if at.Owner == nil && at.Group == nil {
		return uid, gid, nil
	}
	a := h.accounts()
	var users, groups []string
	if at.Owner != nil {
		users = append(users, *at.Owner)
	}
	if at.Group != nil {
		groups = append(groups, *at.Group)
	}
	a.complete(forever, users, groups)
	if at.Owner != nil {
		if u := a.user(*at.Owner); u != nil {
			uid = u.uid
		} else if uid, err = id(*at.Owner); err != nil {
			return 0, 0, errors.New("there is no user " + quote(*at.Owner) + " on this host")
		}
	}
	if at.Group != nil {
		if g := a.group(*at.Group); g != nil {
			gid = g.gid
		} else if gid, err = id(*at.Group); err != nil {
			return 0, 0, errors.New("there is no group " + quote(*at.Group) + " on this host")
		}
	}
	return uid, gid, nil
}

// id reads a number that chown(2) takes; the largest one is its "no change".
func id(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}
