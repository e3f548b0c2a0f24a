package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// user is a line of passwd(5), and group is a line of group(5).
type user struct {
	name, gecos, home, shell string
	uid, gid                 int
	remote                   bool // from a directory service
}

type group struct {
	name    string
	gid     int
	members []string
}

// parseColons calls each for the lines that have at least n fields. Comments and the lines of NIS
// (+name, -name) are left out: they are not accounts.
func parseColons(data []byte, n int, each func(f []string)) {
	for line := range strings.Lines(string(data)) {
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
		slices.Sort(members)
		groups = append(groups, group{name: f[0], gid: gid, members: members})
	})
	return groups
}

// accountDB reads and changes the host's users and groups.
type accountDB struct {
	passwd, group string
	getent        bool // also look up accounts with getent(1) that the files do not have
	programs      *programs
}

// accounts are the users and groups of the host: the files are read once, and getent(1) adds keys
// that they do not have.
type accounts struct {
	mu     sync.Mutex
	db     *accountDB
	users  []user
	groups []group
	err    error
	// unknown has an error for each database that getent could not search: an account that was not
	// found may exist there.
	unknown map[string]error
}

func (db *accountDB) read() *accounts {
	a := &accounts{db: db}
	data, err := readFile(db.passwd)
	a.users, a.err = parsePasswd(data), err
	if data, err = readFile(db.group); err != nil {
		a.err = err
	}
	a.groups = parseGroup(data)
	return a
}

// complete looks up names and numbers that the files do not have (LDAP, SSSD), with one getent for
// users and one for groups.
func (a *accounts) complete(ctx context.Context, users, groups []string) {
	if !a.db.getent || a.err != nil {
		return
	}
	var wg sync.WaitGroup
	lookup := func(database string, wanted []string, known func(string) bool, add func([]byte)) {
		var keys []string
		for _, k := range wanted {
			if k != "" && k[0] != '-' && !strings.ContainsAny(k, ":\n") && !slices.Contains(keys, k) && !known(k) {
				keys = append(keys, k)
			}
		}
		if len(keys) == 0 {
			return
		}
		wg.Go(func() {
			out, err := getent(ctx, database, keys)
			a.mu.Lock()
			defer a.mu.Unlock()
			add([]byte(out))
			if err != nil {
				if a.unknown == nil {
					a.unknown = map[string]error{}
				}
				a.unknown[database] = err
			}
		})
	}
	a.mu.Lock()
	lookup("passwd", users, func(k string) bool { u, err := a.user(k); return u != nil || err != nil },
		func(data []byte) {
			for _, u := range parsePasswd(data) {
				u.remote = true
				a.users = append(a.users, u)
			}
		})
	lookup("group", groups, func(k string) bool { g, err := a.group(k); return g != nil || err != nil },
		func(data []byte) { a.groups = append(a.groups, parseGroup(data)...) })
	a.mu.Unlock()
	wg.Wait()
}

// getent looks up keys with getent(1). Its exit status 2 means that a key was not found. A host
// without getent has only the accounts of the files.
func getent(ctx context.Context, database string, keys []string) (string, error) {
	o, err := ask(ctx, append([]string{"getent", database, "--"}, keys...)...)
	if errors.Is(err, errNotInstalled) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("getent %s: %w", database, err)
	}
	if o.exit != 0 && o.exit != 2 {
		return "", fmt.Errorf("getent %s: exit status %d: %s", database, o.exit, lastLine(o.output()))
	}
	return o.stdout.String(), nil
}

// user finds an account by its name, or else by its number. It returns nil without an error if the
// account does not exist.
func (a *accounts) user(key string) (*user, error) {
	i := slices.IndexFunc(a.users, func(u user) bool { return u.name == key })
	if n, err := strconv.Atoi(key); i < 0 && err == nil {
		i = slices.IndexFunc(a.users, func(u user) bool { return u.uid == n })
	}
	if i < 0 {
		return nil, a.lookupError("passwd")
	}
	return &a.users[i], nil
}

// group finds a group by its name, or else by its number, as user does.
func (a *accounts) group(key string) (*group, error) {
	i := slices.IndexFunc(a.groups, func(g group) bool { return g.name == key })
	if n, err := strconv.Atoi(key); i < 0 && err == nil {
		i = slices.IndexFunc(a.groups, func(g group) bool { return g.gid == n })
	}
	if i < 0 {
		return nil, a.lookupError("group")
	}
	return &a.groups[i], nil
}

// lookupError returns why an account that was not found may still exist, or nil.
func (a *accounts) lookupError(database string) error {
	if a.err != nil {
		return a.err
	}
	return a.unknown[database]
}

// nameOwner sets the names of a file's owner and group, or their numbers if they have no names.
func (a *accounts) nameOwner(f *wire.File) error {
	u, err := a.user(strconv.Itoa(f.UID))
	if err != nil {
		return err
	}
	g, err := a.group(strconv.Itoa(f.GID))
	if err != nil {
		return err
	}
	f.Owner, f.Group = strconv.Itoa(f.UID), strconv.Itoa(f.GID)
	if u != nil {
		f.Owner = u.name
	}
	if g != nil {
		f.Group = g.name
	}
	return nil
}

// askUser answers AskUser. It checks the home directory only on request: that may be on a server
// that does not answer.
func (a *accounts) askUser(name string, usable bool) wire.Answer {
	u, err := a.user(name)
	if err != nil {
		return failed(err)
	}
	if u == nil || u.name != name {
		return wire.Answer{User: &wire.User{UID: -1, GID: -1}}
	}
	w := &wire.User{UID: u.uid, GID: u.gid, Home: u.home, Shell: u.shell, Gecos: printable(u.gecos), Remote: u.remote}
	g, err := a.group(strconv.Itoa(u.gid))
	if err != nil {
		return failed(err)
	}
	if g != nil {
		w.Group = g.name
	}
	for _, g := range a.groups {
		if slices.Contains(g.members, name) && !slices.Contains(w.Groups, g.name) {
			w.Groups = append(w.Groups, g.name)
		}
	}
	slices.Sort(w.Groups)
	if usable {
		kind, err := kindAt(u.home)
		if err != nil {
			return failed(err)
		}
		w.NoHome = kind != wire.Directory
		data, err := readFile(path.Dir(a.db.passwd) + "/shadow")
		if err != nil && !absent(err) {
			return failed(err)
		}
		w.Expired = expired(data, name, time.Now())
	}
	return wire.Answer{User: w}
}

// kindAt returns the kind of what a path leads to. It follows all links, as the account itself does
// when it enters its home.
func kindAt(p string) (wire.Kind, error) {
	var st unix.Stat_t
	err := unix.Stat(p, &st)
	if absent(err) {
		return wire.Absent, nil
	}
	if err != nil {
		return wire.Absent, fmt.Errorf("stat %s: %w", p, err)
	}
	return stated(&st).Kind, nil
}

// expired reports whether an account has expired: the eighth field of shadow(5) is a day, counted
// from 1970-01-01.
func expired(shadow []byte, name string, now time.Time) (yes bool) {
	parseColons(shadow, 8, func(f []string) {
		day, err := strconv.ParseInt(f[7], 10, 64)
		yes = yes || f[0] == name && err == nil && now.Unix() >= day*24*60*60
	})
	return yes
}

// askGroup answers AskGroup.
func (a *accounts) askGroup(name string) wire.Answer {
	g, err := a.group(name)
	if err != nil {
		return failed(err)
	}
	if g == nil || g.name != name {
		return wire.Answer{Group: &wire.Group{GID: -1}}
	}
	return wire.Answer{Group: &wire.Group{GID: g.gid, Members: g.members}}
}

// ids resolves the owner and group of attributes; -1 stands for one that is not set.
func (db *accountDB) ids(at wire.Attributes) (uid, gid int, err error) {
	uid, gid = -1, -1
	if at.Owner == nil && at.Group == nil {
		return uid, gid, nil
	}
	a := db.read()
	var users, groups []string
	if at.Owner != nil {
		users = append(users, *at.Owner)
	}
	if at.Group != nil {
		groups = append(groups, *at.Group)
	}
	a.complete(context.Background(), users, groups)
	if at.Owner != nil {
		u, err := a.user(*at.Owner)
		if err != nil {
			return 0, 0, err
		}
		if u != nil {
			uid = u.uid
		} else if uid, err = id(*at.Owner); err != nil {
			return 0, 0, fmt.Errorf("user %s not found on this host", quote(*at.Owner))
		}
	}
	if at.Group != nil {
		g, err := a.group(*at.Group)
		if err != nil {
			return 0, 0, err
		}
		if g != nil {
			gid = g.gid
		} else if gid, err = id(*at.Group); err != nil {
			return 0, 0, fmt.Errorf("group %s not found on this host", quote(*at.Group))
		}
	}
	return uid, gid, nil
}

// id parses a number for chown(2). The largest one is refused: it means "no change" there.
func id(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return int(n), err
}
