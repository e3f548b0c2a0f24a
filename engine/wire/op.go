package wire

// Op is one operation on a host: exactly one verb is set.
//
// Expect, where it is not empty, is the fingerprint (File.Fingerprint) that the operation's path must still have: the
// helper looks again just before it acts and refuses the operation otherwise.
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
}

// Path is the path that the operation changes, or "".
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

// Parents tells whether the operation makes the directories that are missing above its path.
func (o Op) Parents() bool {
	return o.Claim != nil || o.Write != nil && o.Write.Parents || o.Mkdir != nil && o.Mkdir.Parents || o.Symlink != nil && o.Symlink.Parents
}

// WriteOp makes a regular file, or replaces the file or link that is there, atomically and synced.
type WriteOp struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
	// Program, where it is not empty, names a program of mirrorform's own whose executable is the
	// content: the helper has it in itself, so it is not sent.
	Program string `json:"program,omitempty"`
	Attributes
	// Parents makes the directories that are missing above Path, with the defaults of new entries. Restore takes those away again that are empty.
	Parents bool `json:"parents,omitempty"`
	// Validate is a program and its arguments, run before the new content replaces the old; each argument "{}" becomes
	// the path of a file that holds the new content, in the same directory. Exit status 0 lets it go ahead.
	Validate []string `json:"validate,omitempty"`
}

// SyncProgram is the program that runs a mirror's sync on its host. The helper acts as it when it
// is called by that name.
const SyncProgram = "mirrorform-sync"

// ClaimOp writes a file, as WriteOp does, that says which directory a tree is: the text of a claim
// (package claim), for all to read. Directories that are missing above the file are made.
type ClaimOp struct {
	Path string `json:"path"` // of the file
	Tree string `json:"tree"` // the directory
	// Identity is what Tree.Identity was. Where the directory was not there yet it is empty, and
	// the directory must be empty, too.
	Identity string `json:"identity,omitempty"`
}

// Attributes are owner, group and mode. A nil field keeps what is there, or takes the default of a new entry
// (the helper's user and group, 0644 for a file and 0755 for a directory).
type Attributes struct {
	Mode  *uint32 `json:"mode,omitempty"`
	Owner *string `json:"owner,omitempty"` // a name or a number
	Group *string `json:"group,omitempty"`
}

// MkdirOp makes one directory.
type MkdirOp struct {
	Path string `json:"path"`
	Attributes
	Parents bool `json:"parents,omitempty"` // as in WriteOp
}

// SymlinkOp makes a symbolic link, or replaces the link or file that is there, atomically.
type SymlinkOp struct {
	Path    string `json:"path"`
	Target  string `json:"target"`
	Parents bool   `json:"parents,omitempty"` // as in WriteOp
}

// AttrOp changes the attributes of what is at a path; it never follows a link at its end.
type AttrOp struct {
	Path string `json:"path"`
	Attributes
}

// RemoveOp removes a file, a link, or an empty directory. What is absent already is no error.
type RemoveOp struct {
	Path string `json:"path"`
}

// RestoreOp puts a path back as it was before the operation that it undoes: the helper kept the original.
type RestoreOp struct {
	Path string `json:"path"`
}

// PackageOp installs, upgrades or removes packages in one run of the package manager.
type PackageOp struct {
	Install []string `json:"install,omitempty"` // NAME, or NAME=VERSION to undo an upgrade
	Remove  []string `json:"remove,omitempty"`
}

// UnitOp does one thing to a systemd unit.
type UnitOp struct {
	Name   string     `json:"name"`
	Action UnitAction `json:"action"`
	// Record names a record to be made of Files once the action is done: what AskLoaded compares with.
	// The files are read before the action, so that a change during it is not taken as loaded.
	Record string   `json:"record,omitempty"`
	Files  []string `json:"files,omitempty"`
}

// UnitAction is what UnitOp does.
type UnitAction string

// The actions of UnitOp. Load starts a unit that does not run and reloads one that does (or restarts it, where it cannot reload).
// Restore only undoes: it stops a unit that did not run before the operation that it undoes, has one that ran load its files as they
// are then, and puts back the unit's records. A unit that is no more needs none of it.
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

// UserOp makes, changes or removes a user account. Removing one keeps its home.
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
	Groups *[]string `json:"groups,omitempty"` // supplementary groups, in full
}

// GroupOp makes, changes or removes a group.
type GroupOp struct {
	Name   string `json:"name"`
	Remove bool   `json:"remove,omitempty"`
	Create bool   `json:"create,omitempty"`
	System bool   `json:"system,omitempty"`
	GID    *int   `json:"gid,omitempty"`
}

// MkfsOp makes a file system on a device that has no signature, partition, holder, mount or swap on it. The helper looks
// itself, just before; nothing forces it.
type MkfsOp struct {
	Device string `json:"device"`
	Type   string `json:"type"` // xfs or ext4
	Label  string `json:"label,omitempty"`
}

// MountOp enters a file system in fstab (by UUID, with nofail) and mounts it, or takes it out again.
type MountOp struct {
	Path    string   `json:"path"`
	Device  string   `json:"device,omitempty"` // its file system's UUID goes into fstab
	Type    string   `json:"type,omitempty"`
	Options []string `json:"options,omitempty"`
	Remove  bool     `json:"remove,omitempty"` // unmount, and take the line out of fstab
	// Line, when it is not nil, is put in place of the fstab line for Path ("" takes it out) in
	// place of one made from the fields above: it changes what is there, or undoes that. Mounted
	// says whether Path is to be mounted afterwards; what is mounted already is then remounted with
	// Options, or with those of the line where there are none, unless FstabOnly leaves it as it is.
	Line      *string `json:"line,omitempty"`
	Mounted   bool    `json:"mounted,omitempty"`
	FstabOnly bool    `json:"fstab_only,omitempty"`
}

// ProbeOp asks the host itself by HTTP until the answer is right, and fails when Timeout passes before it is.
type ProbeOp struct {
	Address string `json:"address"` // "ADDRESS:PORT"
	Host    string `json:"host"`
	Path    string `json:"path"`
	Status  int    `json:"status"`
	Body    string `json:"body,omitempty"`    // what the body must be; empty: any
	Timeout int    `json:"timeout,omitempty"` // seconds
	// Trees has URL paths and directories in turn: a file of each directory that is not empty must
	// be served there.
	Trees []string `json:"trees,omitempty"`
}

// RunOp runs a program.
type RunOp struct {
	Argv []string `json:"argv"`
	// Refuse is text that must not appear in the program's output (nginx -t only warns of what we refuse).
	Refuse string `json:"refuse,omitempty"`
	// About has texts one of which must be in the line, too, for Refuse to count: other lines were
	// there before.
	About []string `json:"about,omitempty"`
	// Timeout in seconds; 0 is 10 minutes.
	Timeout int `json:"timeout,omitempty"`
}
