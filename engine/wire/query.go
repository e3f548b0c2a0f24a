package wire

import (
	"strconv"
	"strings"
)

// Verb names a kind of question.
type Verb string

// The questions that the helper answers. None of them changes the host.
const (
	AskFile       Verb = "file"       // Arg: absolute path; never follows a link at its end
	AskFilesystem Verb = "filesystem" // Arg: absolute path, which need not exist: its nearest existing ancestor is measured
	AskMount      Verb = "mount"      // Arg: absolute path of a mount point: what is mounted there, and its line in fstab
	AskBlock      Verb = "block"      // Arg: absolute path of a device, or of a link to one
	AskPackage    Verb = "package"    // Arg: package name; Option "candidate" also asks for the newest version on offer
	AskUnit       Verb = "unit"       // Arg: systemd unit, with its suffix
	AskUser       Verb = "user"       // Arg: user name; Option "usable" also looks whether programs can run as it
	AskGroup      Verb = "group"      // Arg: group name
	AskLoaded     Verb = "loaded"     // Arg: a name; Args: paths: whether they are as when Op.Unit recorded that name
	AskHTTP       Verb = "http"       // Arg: "ADDRESS:PORT"; Args: Host header, path: one GET on the host itself; then of trees the URL path and the directory, in turn
	AskTree       Verb = "tree"       // Arg: absolute path of a directory, which need not exist; Args: other paths, to know where they are
	AskRun        Verb = "run"        // Args: argv of a program that only reads
)

// Query is one read-only question about a host.
type Query struct {
	Verb Verb     `json:"verb"`
	Arg  string   `json:"arg,omitempty"`
	Args []string `json:"args,omitempty"`
	// Option narrows the answer. For AskFile: "" leaves the content out, "content" has it, and "content-unless:SHA256"
	// has it only when the file's digest is another one; "head" and "tail" have its first or last
	// MaxPiece bytes, without a digest, of a file that somebody may be writing.
	Option string `json:"option,omitempty"`
}

// Key is the same for equal queries and for no others. It is the name of an answer in test files: "file /etc/motd",
// "http 127.0.0.1:80 [example.org /]", "package rsync (candidate)".
func (q Query) Key() string {
	key := string(q.Verb)
	if q.Arg != "" {
		key += " " + word(q.Arg)
	}
	if len(q.Args) > 0 {
		words := make([]string, len(q.Args))
		for i, a := range q.Args {
			words[i] = word(a)
		}
		key += " [" + strings.Join(words, " ") + "]"
	}
	if q.Option != "" {
		key += " (" + q.Option + ")"
	}
	return key
}

// word quotes what would be taken for more than one word, or for a delimiter.
func word(s string) string {
	if s == "" || strings.ContainsAny(s, " \"[]()\\") || strconv.Quote(s) != `"`+s+`"` {
		return strconv.Quote(s)
	}
	return s
}

// Answer is the answer to one Query: the field of its verb is set, or Error.
type Answer struct {
	Error      string      `json:"error,omitempty"`
	File       *File       `json:"file,omitempty"`
	Filesystem *Filesystem `json:"filesystem,omitempty"`
	Mount      *Mount      `json:"mount,omitempty"`
	Block      *Block      `json:"block,omitempty"`
	Package    *Package    `json:"package,omitempty"`
	Unit       *Unit       `json:"unit,omitempty"`
	User       *User       `json:"user,omitempty"`
	Group      *Group      `json:"group,omitempty"`
	Loaded     *Loaded     `json:"loaded,omitempty"`
	HTTP       *HTTP       `json:"http,omitempty"`
	Tree       *Tree       `json:"tree,omitempty"`
	Run        *Run        `json:"run,omitempty"`
}

// Kind is the kind of a directory entry. The zero Kind means that nothing is there.
type Kind string

// The kinds of directory entries.
const (
	Absent    Kind = ""
	Regular   Kind = "file"
	Directory Kind = "directory"
	Symlink   Kind = "symlink"
	Other     Kind = "other" // a device, socket or named pipe
)

// File is what lies at a path; a link at its end is not followed. What is said of the content itself is tagged fingerprint:"-": where content is
// managed, resource types have it in attributes of theirs; where it is not, it is nobody's business.
type File struct {
	Kind   Kind   `json:"kind,omitempty"`
	Mode   uint32 `json:"mode,omitempty"` // permission bits with setuid, setgid and sticky, as in chmod(2)
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Owner  string `json:"owner,omitempty"` // user name, or the number where there is no name
	Group  string `json:"group,omitempty"`
	Size   int64  `json:"size,omitempty" fingerprint:"-"`   // bytes
	Target string `json:"target,omitempty"`                 // of a symlink
	SHA256 string `json:"sha256,omitempty" fingerprint:"-"` // of a regular file, in hex; empty above 64 MiB
	Links  int    `json:"links,omitempty" fingerprint:"-"`  // of a regular file: how many hard links there are to it, where that is more than one
	// Content is there when the query asked for it and the file has at most MaxContent bytes.
	Content []byte `json:"content,omitempty" fingerprint:"-"`
	// HasContent tells an empty file's content from one that was left out.
	HasContent bool `json:"has_content,omitempty" fingerprint:"-"`
	// Fingerprint changes whenever any of the above does; operations carry it as what they expect.
	Fingerprint string `json:"fingerprint" fingerprint:"-"`
	Empty       bool   `json:"empty,omitempty"` // of a directory: it has no entries
	// Entries are the names in a directory, sorted, when there are at most MaxEntries.
	Entries []string `json:"entries,omitempty" fingerprint:"-"`
	MountAt bool     `json:"mount_at,omitempty"` // of a directory: a file system is mounted on it
}

// Filesystem measures the file system that holds a path.
type Filesystem struct {
	MountPoint string `json:"mount_point"`
	Source     string `json:"source"` // as in /proc/self/mountinfo
	Type       string `json:"type"`
	Size       uint64 `json:"size"`      // bytes in all
	Available  uint64 `json:"available"` // bytes for an unprivileged user
	Free       uint64 `json:"free"`      // bytes that nothing uses; some may be kept for root
	ReadOnly   bool   `json:"read_only,omitempty"`
}

// Mount is what is mounted on a mount point, and what fstab says of it.
type Mount struct {
	Mounted bool     `json:"mounted,omitempty"`
	Source  string   `json:"source,omitempty"` // the device's real path
	Type    string   `json:"type,omitempty"`
	UUID    string   `json:"uuid,omitempty"` // of the file system that is mounted
	Options []string `json:"options,omitempty"`
	Fstab   string   `json:"fstab,omitempty"` // the line of /etc/fstab for this mount point, as it stands
	// FstabDevice is the real path of the block device that the line names in whatever way; empty
	// where there is none of that name.
	FstabDevice string `json:"fstab_device,omitempty"`
	// Real is where the mount point really is, where nothing is mounted there and a link leads to
	// it.
	Real string `json:"real,omitempty"`
}

// Tree is a directory that may hold a great many files: what lies directly in it, and which
// directory it is.
type Tree struct {
	Place
	Kind Kind `json:"kind,omitempty"` // of what is at the path, with all links resolved
	// Identity tells the directory from all others, also after a boot: the text of a claim (package
	// claim).
	Identity string `json:"identity,omitempty"`
	// Entries are the first names in it, sorted, at most MaxTreeEntries; those of directories end
	// in a slash. lost+found counts as nothing.
	Entries []string `json:"entries,omitempty"`
	More    bool     `json:"more,omitempty"`   // there are others
	Mounts  []string `json:"mounts,omitempty"` // mount points below it
	Bound   string   `json:"bound,omitempty"`  // the directory that is mounted on it (mount --bind), in its file system
	Others  []Place  `json:"others,omitempty"` // where the paths of Args are
}

// Place says where a path leads, whatever links and mounts it leads through. Of a path that does
// not exist it is where it would be.
type Place struct {
	Path string `json:"path"`
	Real string `json:"real"` // the path without links
	// At is the path in its own file system, after that one's number and a colon: two paths of one
	// place have one, also by a bind mount.
	At string `json:"at"`
}

// Block is a block device.
type Block struct {
	Path      string `json:"path,omitempty"` // with all links resolved; empty when there is no such device
	Size      uint64 `json:"size,omitempty"` // bytes
	Signature string `json:"signature,omitempty"`
	// Data is set where there is no signature and nothing else uses the device: where it has
	// anything but zeroes, as "at byte 1024".
	Data string `json:"data,omitempty"`
	// Used and Capacity are those of the file system, in bytes, where its superblock has them.
	Used       uint64   `json:"used,omitempty"`
	Capacity   uint64   `json:"capacity,omitempty"`
	UUID       string   `json:"uuid,omitempty"`
	Label      string   `json:"label,omitempty"`
	Mounts     []string `json:"mounts,omitempty"`     // where it is mounted
	Holders    []string `json:"holders,omitempty"`    // devices made from it (LVM, RAID, crypt)
	Partitions []string `json:"partitions,omitempty"` // its partitions
	Swap       bool     `json:"swap,omitempty"`
	ReadOnly   bool     `json:"read_only,omitempty"`
}

// Package is a package as the host's package manager knows it.
type Package struct {
	Installed string `json:"installed,omitempty"` // version; empty when not installed
	Candidate string `json:"candidate,omitempty"` // newest version on offer, when asked for
	Broken    string `json:"broken,omitempty"`    // the manager's word for a half-installed state
	Essential bool   `json:"essential,omitempty"` // the system needs it: it is never removed
	Held      bool   `json:"held,omitempty"`      // the package manager was told to leave it as it is (apt-mark hold)
}

// Unit is a systemd unit (systemctl show).
type Unit struct {
	LoadState     string `json:"load_state"`      // loaded, not-found, masked, …
	ActiveState   string `json:"active_state"`    // active, inactive, failed, activating, …
	UnitFileState string `json:"unit_file_state"` // enabled, disabled, static, masked, …
	CanReload     bool   `json:"can_reload,omitempty"`
}

// User is a user account. UID is -1 when there is none.
type User struct {
	UID    int      `json:"uid"`
	GID    int      `json:"gid"`
	Group  string   `json:"group,omitempty"` // primary group's name
	Home   string   `json:"home,omitempty"`
	Shell  string   `json:"shell,omitempty"`
	Gecos  string   `json:"gecos,omitempty"`
	Groups []string `json:"groups,omitempty"` // supplementary groups, sorted
	Remote bool     `json:"remote,omitempty"` // a directory service has it, and not /etc/passwd
	// With the option "usable": the home directory is missing, and the account has expired
	// (shadow(5)).
	NoHome  bool `json:"no_home,omitempty"`
	Expired bool `json:"expired,omitempty"`
}

// Group is a group. GID is -1 when there is none.
type Group struct {
	GID     int      `json:"gid"`
	Members []string `json:"members,omitempty"`
}

// Loaded tells whether files are as they were when a unit last loaded them.
type Loaded struct {
	Recorded bool `json:"recorded,omitempty"` // there is a record
	Current  bool `json:"current,omitempty"`  // and the files' digest is the recorded one
}

// HTTP is the outcome of one GET. Status is 0 when nothing answered; Error then says why.
type HTTP struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"` // at most 4 KiB
	Error  string `json:"error,omitempty"`
	// Trees says which of the trees is not served, and why; empty when a file of each is.
	Trees string `json:"trees,omitempty"`
}

// Run is the outcome of a program.
type Run struct {
	Exit   int    `json:"exit"` // -1 when it was not run or was killed
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}
