package resources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// User is a user account. Its home directory is not created: declare it as a directory.
type User struct {
	Name string `hcl:"name" id:"true"`           // a name that useradd(8) accepts
	UID  *int   `hcl:"uid,optional" argv:"true"` // user number; default of a new user: the next free one
	// Group is the name of the primary group; default of a new user: a new group with its name.
	Group   string   `hcl:"group,optional" argv:"true"`
	Groups  []string `hcl:"groups,optional" argv:"true"`  // required supplementary groups; the user stays in other groups
	Home    string   `hcl:"home,optional" argv:"true"`    // absolute path of the home directory
	Shell   string   `hcl:"shell,optional" argv:"true"`   // absolute path of the login shell
	Comment string   `hcl:"comment,optional" argv:"true"` // full name or purpose (the GECOS field)
	// System is whether a new user gets a number of the system's range. It does not change an existing
	// user.
	System bool `hcl:"system,optional"`
	// KeepExisting is whether to use an account unchanged if mirrorform did not create it. All other
	// attributes then apply only to a new account.
	KeepExisting bool `hcl:"keep_existing,optional"`

	kept    bool     // wanted: mirrorform did not create the account, and uses it unchanged
	first   bool     // wanted: it is not in the host's manifest
	primary string   // wanted: the primary group of a new account
	groups  []string // found: all supplementary groups
	noHome  bool     // found: the home directory is missing
	expired bool     // found
	remote  bool     // found: it is in a directory service
}

type userType struct{}

func init() { register("user", userType{}) }

func (userType) Keys(_ engine.Target, want *User) (provides, needs []engine.Key) {
	for _, g := range append([]string{want.Group}, want.Groups...) {
		if g != "" && g != want.Name {
			needs = append(needs, engine.GroupKey(g), engine.UserKey(g)) // a group may be created with its user
		}
	}
	if want.Group == want.Name || slices.Contains(want.Groups, want.Name) {
		needs = append(needs, engine.GroupKey(want.Name))
	}
	return []engine.Key{engine.UserKey(want.Name)}, needs
}

func (userType) Validate(want *User) []engine.Problem {
	out := slices.Concat(report("name", checkAccount(want.Name)), report("uid", checkID(want.UID)))
	if want.Group != "" {
		out = append(out, report("group", checkAccount(want.Group))...)
	}
	for _, g := range want.Groups {
		out = append(out, report("groups", checkAccount(g))...)
	}
	if want.Home != "" && want.Home != "/" {
		out = append(out, report("home", checkField(want.Home, true))...)
	}
	if want.Shell != "" {
		out = append(out, report("shell", checkField(want.Shell, true))...)
	}
	return append(out, report("comment", checkField(want.Comment, false))...)
}

// checkField checks a field of passwd(5).
func checkField(s string, isPath bool) error {
	if strings.Contains(s, ":") {
		return fmt.Errorf("%q contains a colon, which separates the fields of /etc/passwd", s)
	}
	if isPath {
		return checkPath(s)
	}
	return checkText(s)
}

func (userType) query(s *User) wire.Query {
	q := wire.Query{Verb: wire.AskUser, Arg: s.Name}
	if s.KeepExisting {
		q.Option = "usable"
	}
	return q
}

func (ut userType) Ask(_ engine.Target, want *User) []wire.Query {
	return []wire.Query{ut.query(want)}
}

func (ut userType) Read(_ engine.Target, want *User, got engine.Answers) (*User, error) {
	u, err := got.User(ut.query(want))
	if err != nil || u.UID < 0 {
		return nil, err
	}
	have := &User{
		Name: want.Name, UID: &u.UID, Group: u.Group, Groups: u.Groups, Home: u.Home, Shell: u.Shell,
		Comment: u.Gecos, System: want.System, KeepExisting: want.KeepExisting, groups: u.Groups, noHome: u.NoHome, expired: u.Expired, remote: u.Remote,
	}
	if len(want.Groups) > 0 {
		have.Groups = found(want.Groups, u.Groups)
	}
	return have, nil
}

// Settle implements KeepExisting.
func (ut userType) Settle(t engine.Target, want *User, prior *engine.Record, got engine.Answers) *User {
	full := *want
	have, err := ut.Read(t, want, got)
	if !want.KeepExisting || err != nil || have == nil || prior != nil && prior.Made {
		return &full
	}
	full.kept, full.first, full.primary = true, prior == nil, want.Group
	full.UID, full.Group, full.Groups, full.Home, full.Shell, full.Comment = nil, "", nil, "", "", ""
	return &full
}

// containsAll reports whether every one of some is in all.
func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func (userType) Diff(_ engine.Target, want, have *User) []engine.Step {
	switch {
	case want == nil:
		return []engine.Step{{
			Summary: "remove user " + have.Name + ", but not its home",
			Do:      wire.Op{User: &wire.UserOp{Name: have.Name, Remove: true}},
			Final:   "its password and the number of its own group cannot be restored",
		}}
	case have == nil:
		op := accountOp(want, &User{})
		op.Create, op.System = true, want.System
		return []engine.Step{{
			Summary: "create user " + want.Name,
			Do:      wire.Op{User: op},
			Undo:    &wire.Op{User: &wire.UserOp{Name: want.Name, Remove: true}},
		}}
	}
	op := accountOp(want, have)
	undo := &wire.UserOp{Name: want.Name}
	var changed []string
	change := func(name string, differs bool, take func()) {
		if differs {
			changed = append(changed, name)
			take()
		}
	}
	change("number", op.UID != nil, func() { undo.UID = have.UID })
	change("primary group", op.Group != nil, func() { undo.Group = &have.Group })
	change("groups", op.Groups != nil, func() {
		groups := append([]string{}, have.groups...) // not nil: an empty list is managed, too
		undo.Groups = &groups
	})
	change("home", op.Home != nil, func() { undo.Home = &have.Home })
	change("shell", op.Shell != nil, func() { undo.Shell = &have.Shell })
	change("comment", op.Gecos != nil, func() { undo.Gecos = &have.Comment })
	if len(changed) == 0 {
		return nil
	}
	return []engine.Step{{
		Summary: "change " + enumerate(changed) + " of user " + want.Name,
		Do:      wire.Op{User: op},
		Undo:    &wire.Op{User: undo},
	}}
}

// accountOp returns an operation that sets the managed attributes that differ in have.
func accountOp(want, have *User) *wire.UserOp {
	op := &wire.UserOp{Name: want.Name}
	if !sameNumber(want.UID, have.UID) {
		op.UID = want.UID
	}
	field := func(want, have string) *string {
		if want == "" || want == have {
			return nil
		}
		return &want
	}
	op.Group = field(want.Group, have.Group)
	op.Home = field(want.Home, have.Home)
	op.Shell = field(want.Shell, have.Shell)
	op.Gecos = field(want.Comment, have.Comment)
	if !containsAll(have.Groups, want.Groups) {
		groups := sorted(have.groups, want.Groups)
		op.Groups = &groups
	}
	return op
}

// changes lists the fields of passwd(5) that an operation changes.
func changes(op *wire.UserOp) (names []string) {
	for _, field := range []struct {
		name string
		set  bool
	}{{"number", op.UID != nil}, {"primary group", op.Group != nil}, {"home", op.Home != nil}, {"shell", op.Shell != nil}, {"comment", op.Gecos != nil}} {
		if field.set {
			names = append(names, field.name)
		}
	}
	return names
}

func (ut userType) Check(t engine.Target, want, have *User) []engine.Problem {
	switch {
	case want == nil || have == nil:
		return nil
	case want.kept:
		return ut.checkKept(t, want, have)
	case have.remote && len(changes(accountOp(want, have))) > 0:
		return []engine.Problem{refusal("name",
			fmt.Sprintf("%s: user %s is in a directory service, not in /etc/passwd, so its %s cannot be changed",
				t.Name, want.Name, enumerate(changes(accountOp(want, have)))),
			"change it there, remove the attribute, or set keep_existing = true to use the account unchanged")}
	case sameNumber(want.UID, have.UID):
		return nil
	}
	return []engine.Problem{numberCaution("uid", "user", want.Name, *have.UID)}
}

// checkKept checks whether an account that mirrorform did not create can be used.
func (userType) checkKept(t engine.Target, want, have *User) (out []engine.Problem) {
	who := t.Name + ": user " + want.Name
	if *have.UID == 0 {
		return []engine.Problem{refusal("name", who+" has the number 0: it is root", "use another account")}
	}
	if want.primary != "" && want.primary != have.Group && !slices.Contains(have.groups, want.primary) {
		return []engine.Problem{refusal("name",
			fmt.Sprintf("%s already exists, and is not in the group %s, which reads its files", who, want.primary),
			fmt.Sprintf("use another account, or add it to the group on the host: groupadd --system %[1]s; usermod --append --groups %[1]s %[2]s",
				want.primary, want.Name))}
	}
	if have.expired {
		out = append(out, caution("name", who+" has expired, so cron runs no jobs for it",
			"use another account, or run on the host: usermod --expiredate '' "+want.Name))
	}
	if have.noHome {
		out = append(out, caution("name",
			fmt.Sprintf("%s has the home directory %s, which is missing, so cron may run no jobs for it", who, have.Home),
			"create that directory, or use another account"))
	}
	if !want.first {
		return out
	}
	advice := "its home, shell and groups stay; to have an account created, use a name that does not exist yet"
	if want.primary != "" && want.primary != have.Group {
		advice = fmt.Sprintf("its home, shell and groups stay, and its new files get its primary group, %s; "+
			"to have an account created, use a name that does not exist yet", have.Group)
	}
	return append(out, caution("name", who+" already exists, and is used unchanged", advice))
}

// Keep implements engine.Keeper.
func (userType) Keep() string { return "its files would belong to nobody" }
