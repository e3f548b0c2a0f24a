package agent

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// checkAccount refuses names that useradd(8) or a shell would not take as names.
func checkAccount(name string) error {
	ok := name != "" && len(name) <= 32
	digits := true
	for i, r := range name {
		digits = digits && r >= '0' && r <= '9'
		ok = ok && (letterOrDigit(r) || r == '_' || i > 0 && (r == '-' || r == '.' || r == '$' && i == len(name)-1))
	}
	if !ok || digits {
		return fmt.Errorf("%s is not a valid name of a user or group", quote(name))
	}
	return nil
}

// checkField refuses values that would break a line of passwd(5).
func checkField(what string, value *string) error {
	if value == nil {
		return nil
	}
	for _, r := range *value {
		if r < ' ' || r == ':' || r == 0x7f {
			return fmt.Errorf("%s %s has a character that passwd(5) does not allow", what, quote(*value))
		}
	}
	return nil
}

// performUser performs a UserOp. It never creates, moves or removes a home directory.
func (db *accountDB) performUser(op *wire.UserOp) error {
	if err := checkAccount(op.Name); err != nil {
		return err
	}
	a := db.read()
	if a.err != nil {
		return a.err
	}
	if op.Remove {
		a.complete(context.Background(), []string{op.Name}, nil)
		if u, err := a.user(op.Name); u == nil {
			return err
		}
		return db.programs.change("userdel", "--", op.Name)
	}
	argv := []string{"usermod"}
	if op.Create {
		argv = []string{"useradd", "-M"}
		if op.System {
			argv = append(argv, "-r")
		}
		if g, _ := a.group(op.Name); op.Group == nil && g != nil { // only groups of the local file: those are read
			// useradd would create the group, and fails if it exists.
			op.Group = &op.Name
		}
	}
	if op.UID != nil {
		if *op.UID < 0 {
			return fmt.Errorf("invalid user ID %d", *op.UID)
		}
		argv = append(argv, "-u", strconv.Itoa(*op.UID))
	}
	for _, o := range []struct {
		flag, what string
		value      *string
	}{{"-g", "group", op.Group}, {"-d", "home", op.Home}, {"-s", "shell", op.Shell}, {"-c", "comment", op.Gecos}} {
		if o.value == nil {
			continue
		}
		if err := checkField(o.what, o.value); err != nil {
			return err
		}
		if (o.flag == "-d" || o.flag == "-s") && !strings.HasPrefix(*o.value, "/") {
			return fmt.Errorf("%s %s of user %s is not an absolute path", o.what, quote(*o.value), op.Name)
		}
		argv = append(argv, o.flag, *o.value)
	}
	if op.Groups != nil && (len(*op.Groups) > 0 || !op.Create) {
		for _, g := range *op.Groups {
			if err := checkAccount(g); err != nil {
				return err
			}
		}
		argv = append(argv, "-G", strings.Join(*op.Groups, ","))
	}
	if len(argv) == 1 {
		return fmt.Errorf("nothing to change about user %s", op.Name)
	}
	return db.programs.change(append(argv, "--", op.Name)...)
}

// performGroup performs a GroupOp.
func (db *accountDB) performGroup(op *wire.GroupOp) error {
	if err := checkAccount(op.Name); err != nil {
		return err
	}
	a := db.read()
	if a.err != nil {
		return a.err
	}
	if op.Remove {
		a.complete(context.Background(), nil, []string{op.Name})
		if g, err := a.group(op.Name); g == nil {
			return err
		}
		return db.programs.change("groupdel", "--", op.Name)
	}
	argv := []string{"groupmod"}
	if op.Create {
		if argv = []string{"groupadd"}; op.System {
			argv = append(argv, "-r")
		}
	}
	if op.GID != nil {
		if *op.GID < 0 {
			return fmt.Errorf("invalid group ID %d", *op.GID)
		}
		argv = append(argv, "-g", strconv.Itoa(*op.GID))
	}
	if len(argv) == 1 && !op.Create {
		return fmt.Errorf("nothing to change about group %s", op.Name)
	}
	return db.programs.change(append(argv, "--", op.Name)...)
}

// undoUser turns an undo that creates a user into one that also succeeds if the user exists.
func (db *accountDB) undoUser(op *wire.UserOp) *wire.UserOp {
	undo := *op
	// If the files cannot be read, performUser fails.
	if u, _ := db.read().user(op.Name); op.Create && u != nil {
		undo.Create, undo.System = false, false
	}
	return &undo
}

// undoGroup turns an undo that creates a group into one that also succeeds if the group exists.
func (db *accountDB) undoGroup(op *wire.GroupOp) *wire.GroupOp {
	undo := *op
	if g, _ := db.read().group(op.Name); op.Create && g != nil {
		undo.Create, undo.System = false, false
		if undo.GID == nil {
			undo.GID = &g.gid
		}
	}
	return &undo
}
