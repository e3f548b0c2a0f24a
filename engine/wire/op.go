package wire

// Op is one operation on a host: exactly one verb is set.
//
// Expect, if set, is the fingerprint (File.Fingerprint) that the operation's path must still have:
// the helper checks it just before it acts, and otherwise refuses the operation.
type Op struct {
	Expect string `json:"expect,omitempty"`

	Write   *WriteOp   `json:"write,omitempty"`
	Claim   *ClaimOp   `json:"claim,omitempty"`
	Mkdir   *MkdirOp   `json:"mkdir,omitempty"`
	Symlink *SymlinkOp `json:"symlink,omitempty"`
	Attr    *AttrOp    `json:"attr,omitempty"`
	Remove  *RemoveOp  `json:"remove,omitempty"`
	Restore *RestoreOp `json:"restore,omitempty"`
	Package *PackageOp `json:"package,omitempty"`
	Unit    *UnitOp    `json:"unit,omitempty"`
	User    *UserOp    `json:"user,omitempty"`
	Group   *GroupOp   `json:"group,omitempty"`
	Mkfs    *MkfsOp    `json:"mkfs,omitempty"`
	Mount   *MountOp   `json:"mount,omitempty"`
	Probe   *ProbeOp   `json:"probe,omitempty"`
	Run     *RunOp     `json:"run,omitempty"`
	Policy  *PolicyOp  `json:"policy,omitempty"`
}

// Path returns the path that the operation changes, or "".
func (o Op) Path() string {
	switch {
	case o.Write != nil:
		return o.Write.Path
	case o.Claim != nil:
		return o.Claim.Path
	case o.Mkdir != nil:
		return o.Mkdir.Path
	case o.Symlink != nil:
		return o.Symlink.Path
	case o.Attr != nil:
		return o.Attr.Path
	case o.Remove != nil:
		return o.Remove.Path
	}
	return ""
}

// Parents reports whether the operation creates missing directories above its path.
func (o Op) Parents() bool {
	return o.Claim != nil || o.Write != nil && o.Write.Parents || o.Mkdir != nil && o.Mkdir.Parents || o.Symlink != nil && o.Symlink.Parents
}

// WriteOp creates a regular file, or replaces a file or link, atomically and synced.
type WriteOp struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
	// Program, if set, names a program of mirrorform whose executable is the content. The helper
	// contains it, so it is not sent.
	Program string `json:"program,omitempty"`
	Attributes
	// Parents creates missing directories above Path, with the default attributes. Restore removes
	// those that are still empty.
	Parents bool `json:"parents,omitempty"`
	// Validate is a program with its arguments that runs before the new content replaces the old. It
	// replaces each argument "{}" by the path of a file with the new content, in the same directory.
	// Any exit status but 0 fails the operation.
	Validate []string `json:"validate,omitempty"`
}

// SyncProgram is the program that runs a mirror's sync on its host: the helper, called by this
// name.
const SyncProgram = "mirrorform-sync"

// ClaimOp writes a file, as WriteOp does, that identifies the directory of a tree: the text of a
// claim (package claim), readable by all. It creates missing directories above the file.
type ClaimOp struct {
	Path string `json:"path"` // of the file
	Tree string `json:"tree"` // the directory
	// Identity is the value of Tree.Identity. It is empty if the directory did not exist, and then the
	// directory must be empty too.
	Identity string `json:"identity,omitempty"`
}

// Attributes are owner, group and mode. A nil field keeps the current value; a new entry gets the
// default (the helper's user and group, 0644 for a file and 0755 for a directory).
type Attributes struct {
	Mode  *uint32 `json:"mode,omitempty"`
	Owner *string `json:"owner,omitempty"` // a name or a number
	Group *string `json:"group,omitempty"`
}

// MkdirOp creates one directory.
type MkdirOp struct {
	Path string `json:"path"`
	Attributes
	Parents bool `json:"parents,omitempty"` // as in WriteOp
}

// SymlinkOp creates a symbolic link, or replaces a link or file, atomically.
type SymlinkOp struct {
	Path    string `json:"path"`
	Target  string `json:"target"`
	Parents bool   `json:"parents,omitempty"` // as in WriteOp
}

// AttrOp changes the attributes of a path. It does not follow a link at its end.
type AttrOp struct {
	Path string `json:"path"`
	Attributes
}

// RemoveOp removes a file, a link, or an empty directory. A missing path is not an error.
type RemoveOp struct {
	Path string `json:"path"`
}

// RestoreOp restores a path to its state before the operation that it undoes. The helper has kept
// the original.
type RestoreOp struct {
	Path string `json:"path"`
}

// PackageOp installs, upgrades or removes packages in one run of the package manager.
type PackageOp struct {
	Install []string `json:"install,omitempty"` // NAME, or NAME=VERSION to undo an upgrade
	Remove  []string `json:"remove,omitempty"`
}

// UnitOp performs one action on a systemd unit.
type UnitOp struct {
	Name   string     `json:"name"`
	Action UnitAction `json:"action"`
	// Record names a record of Files, which is written after the action and which AskLoaded compares
	// with. The files are read before the action, so that a change during the action does not count as
	// loaded.
	Record string   `json:"record,omitempty"`
	Files  []string `json:"files,omitempty"`
	// Program has a running unit load its files, within 30 s, instead of systemctl: for a unit that
	// systemd waits for forever if it refuses them.
	Program []string `json:"program,omitempty"`
}

// UnitAction is the action of a UnitOp.
type UnitAction string

// The actions of UnitOp. Load starts a stopped unit and reloads a running one (or restarts it, if
// it cannot reload). Restore is only for undo: it stops a unit that was not running before the
// operation that it undoes, makes one that was running load the restored files, and restores the
// unit's records. A unit that is still reloading, perhaps forever, is restarted if the program of
// its reload succeeds. It does nothing for a unit that no longer exists. Besides UnitOp, RunOp can
// be undone by it.
const (
	UnitStart        UnitAction = "start"
	UnitStop         UnitAction = "stop"
	UnitRestart      UnitAction = "restart"
	UnitLoad         UnitAction = "load"
	UnitEnable       UnitAction = "enable"
	UnitDisable      UnitAction = "disable"
	UnitDaemonReload UnitAction = "daemon-reload"
	UnitRestore      UnitAction = "restore"
)

// UserOp creates, changes or removes a user account. A removal keeps the home directory.
type UserOp struct {
	Name   string    `json:"name"`
	Remove bool      `json:"remove,omitempty"`
	Create bool      `json:"create,omitempty"`
	System bool      `json:"system,omitempty"`
	UID    *int      `json:"uid,omitempty"`
	Group  *string   `json:"group,omitempty"`
	Home   *string   `json:"home,omitempty"`
	Shell  *string   `json:"shell,omitempty"`
	Gecos  *string   `json:"gecos,omitempty"`
	Groups *[]string `json:"groups,omitempty"` // the complete list of supplementary groups
}

// GroupOp creates, changes or removes a group.
type GroupOp struct {
	Name   string `json:"name"`
	Remove bool   `json:"remove,omitempty"`
	Create bool   `json:"create,omitempty"`
	System bool   `json:"system,omitempty"`
	GID    *int   `json:"gid,omitempty"`
}

// MkfsOp creates a file system on a device without signature, partition, holder, mount or swap. The
// helper checks the device just before; no option overrides the check.
type MkfsOp struct {
	Device string `json:"device"`
	Type   string `json:"type"` // xfs, ext4 or btrfs
	Label  string `json:"label,omitempty"`
}

// MountOp adds a file system to fstab (by UUID, with nofail) and mounts it, or does the reverse.
type MountOp struct {
	Path    string   `json:"path"`
	Device  string   `json:"device,omitempty"` // fstab gets the UUID of its file system
	Type    string   `json:"type,omitempty"`
	Options []string `json:"options,omitempty"`
	Remove  bool     `json:"remove,omitempty"` // unmount, and remove the line from fstab
	// Line, if not nil, replaces the fstab line for Path ("" removes it), and the fields above do not
	// make one: it changes an existing line, or undoes that. Mounted is whether Path is mounted
	// afterwards. If it already is mounted, it is remounted with Options, or with those of the line if
	// Options is empty, unless FstabOnly is set.
	Line      *string `json:"line,omitempty"`
	Mounted   bool    `json:"mounted,omitempty"`
	FstabOnly bool    `json:"fstab_only,omitempty"`
	// Subvolume is created in the root of the Btrfs file system on Device before it is mounted, if it
	// is missing. The options mount it.
	Subvolume string `json:"subvolume,omitempty"`
}

// ProbeOp sends HTTP requests to the host itself until the answer is right. It fails if Timeout
// passes first.
type ProbeOp struct {
	Address string `json:"address"`       // "ADDRESS:PORT"
	TLS     bool   `json:"tls,omitempty"` // over TLS, with any certificate
	Host    string `json:"host"`
	Path    string `json:"path"`
	Status  int    `json:"status"`
	Body    string `json:"body,omitempty"`    // the expected body; empty: any
	Timeout int    `json:"timeout,omitempty"` // seconds
	// Trees alternates URL paths and directories: the URL must serve a file of each directory that is
	// not empty.
	Trees []string `json:"trees,omitempty"`
}

// Query returns the question with the request that the probe repeats.
func (p *ProbeOp) Query() Query {
	q := Query{Verb: AskHTTP, Arg: p.Address, Args: append([]string{p.Host, p.Path}, p.Trees...)}
	if p.TLS {
		q.Arg = OverTLS + q.Arg
	}
	return q
}

// RunOp runs a program.
type RunOp struct {
	Argv []string `json:"argv"`
	// Refuse is text that makes the operation fail if it is in the program's output: nginx -t only
	// warns about some problems that mirrorform refuses.
	Refuse string `json:"refuse,omitempty"`
	// About limits Refuse to lines that contain one of these texts too: other lines concern earlier
	// problems.
	About []string `json:"about,omitempty"`
	// Timeout is in seconds; 0 is 10 minutes.
	Timeout int `json:"timeout,omitempty"`
}

// PolicyOp changes the host's own part of the SELinux policy in one transaction of semanage(8),
// which compiles the whole policy, and then labels files. Its undo restores the policy only if it
// has changed.
type PolicyOp struct {
	// Commands are lines for "semanage import", as "semanage export" prints them.
	Commands []string `json:"commands,omitempty"`
	// Forget has the booleans that lose the value that they have here at each boot.
	Forget []string `json:"forget,omitempty"`
	// Booleans are arguments of setsebool(8), NAME=on or NAME=off: values until the next boot.
	Booleans []string `json:"booleans,omitempty"`
	// Relabel has the paths that get the labels of the policy, with everything below them. Missing
	// paths are skipped.
	Relabel []string `json:"relabel,omitempty"`
}
