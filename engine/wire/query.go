package wire

import (
	"strconv"
	"strings"
)

// Verb is the kind of a question.
type Verb string

// The questions that the helper answers. None of them changes the host.
const (
	AskFile       Verb = "file"       // Arg: absolute path; a link at its end is not followed, unless Option says so
	AskFilesystem Verb = "filesystem" // Arg: absolute path, which need not exist: its nearest existing ancestor counts
	AskMount      Verb = "mount"      // Arg: absolute path of a mount point, for its mount and its line in fstab
	AskBlock      Verb = "block"      // Arg: absolute path of a device, or of a link to one
	AskPackage    Verb = "package"    // Arg: package name; Option "candidate" also asks for the newest available version
	AskUnit       Verb = "unit"       // Arg: systemd unit, with its suffix
	AskUser       Verb = "user"       // Arg: user name; Option "usable" also checks whether programs can run as this user
	AskGroup      Verb = "group"      // Arg: group name
	// AskLoaded asks whether files are unchanged since UnitOp recorded them. Arg: name of the
	// record; Args: paths.
	AskLoaded Verb = "loaded"
	// AskHTTP sends one GET to the host itself. Arg: "ADDRESS:PORT", or OverTLS and that; Args: Host
	// header, path, then URL path and directory of each tree to check.
	AskHTTP Verb = "http"
	// AskListeners asks who listens on TCP ports. Arg: "", or UDP for ports of that; Args: the ports.
	AskListeners Verb = "listeners"
	// AskTree asks about a directory. Arg: absolute path, which need not exist; Args: other paths
	// to locate.
	AskTree Verb = "tree"
	// AskBus asks a service on the system bus (D-Bus). Arg: its name; Args: the path of an object,
	// then calls of methods that begin with get, as "INTERFACE.METHOD" or "INTERFACE.METHOD TEXT".
	// The text * makes one call for each name that the calls without a text returned.
	AskBus Verb = "bus"
	AskRun Verb = "run" // Args: argv of a read-only program
)

// OverTLS begins the Arg of an AskHTTP query over TLS: "https://127.0.0.1:443".
const OverTLS = "https://"

// Query is one read-only question about a host.
type Query struct {
	Verb Verb     `json:"verb"`
	Arg  string   `json:"arg,omitempty"`
	Args []string `json:"args,omitempty"`
	// Option narrows the answer. For AskFile, "" omits the content, "content" includes it, and
	// "content-unless:SHA256" includes it unless the file has this digest. "head" and "tail" return
	// the first or last MaxPiece bytes, without a digest, of a file that another program may be
	// writing. "follow" and "follow-content" are "" and "content" of what a link at the end of the
	// path leads to: only root, or the helper's own user, may be able to change that link and what is
	// on the way. "labels" returns SELinux labels, and no content; "stat" only what stat(2) reports.
	// For AskRun, "if:PATH" runs the program only if PATH exists: otherwise it counts as missing.
	Option string `json:"option,omitempty"`
}

// Key returns a string that is equal exactly for equal queries. Test files name answers by it:
// "file /etc/motd", "http 127.0.0.1:80 [example.org /]", "package rsync (candidate)".
func (q Query) Key() string {
	key := q.String()
	if q.Option != "" {
		key += " (" + q.Option + ")"
	}
	return key
}

// String names the query in messages, without its option: that may be the digest of a secret.
func (q Query) String() string {
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
	return key
}

// word quotes a string that could be read as several words or as a delimiter.
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
	Listeners  *Listeners  `json:"listeners,omitempty"`
	Tree       *Tree       `json:"tree,omitempty"`
	Bus        *Bus        `json:"bus,omitempty"`
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

// File describes a path; a link at its end is not followed. Fields about the content are tagged
// fingerprint:"-": where content is managed, resource types have attributes for it; where it is
// not, a change of content must not make a saved plan stale.
type File struct {
	Kind   Kind   `json:"kind,omitempty"`
	Mode   uint32 `json:"mode,omitempty"` // permission bits with setuid, setgid and sticky, as in chmod(2)
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Owner  string `json:"owner,omitempty"` // user name, or the number if there is no name
	Group  string `json:"group,omitempty"`
	Size   int64  `json:"size,omitempty" fingerprint:"-"`   // bytes
	Target string `json:"target,omitempty"`                 // of a symlink
	SHA256 string `json:"sha256,omitempty" fingerprint:"-"` // of a regular file, in hex; empty above 64 MiB
	Links  int    `json:"links,omitempty" fingerprint:"-"`  // number of hard links of a regular file, if there are several
	// Content is set if the query asked for it and the file has at most MaxContent bytes.
	Content []byte `json:"content,omitempty" fingerprint:"-"`
	// HasContent distinguishes the content of an empty file from omitted content.
	HasContent bool `json:"has_content,omitempty" fingerprint:"-"`
	// Fingerprint changes when any field above changes. Operations carry it as Op.Expect.
	Fingerprint string `json:"fingerprint" fingerprint:"-"`
	Empty       bool   `json:"empty,omitempty"` // for a directory: it has no entries
	// Entries are the names in a directory, sorted, if there are at most MaxEntries.
	Entries []string `json:"entries,omitempty" fingerprint:"-"`
	MountAt bool     `json:"mount_at,omitempty"` // for a directory: a file system is mounted on it
	// With the option "labels", Label is the SELinux label (user:role:type:level), if it has one. For
	// a directory, Labels has the entries with another type, of the first names: a label, a space and
	// the name, at most MaxEntries. Deeper ones are not read: a tree may have millions.
	Label  string   `json:"label,omitempty" fingerprint:"-"`
	Labels []string `json:"labels,omitempty" fingerprint:"-"`
}

// Filesystem is the file system that contains a path.
type Filesystem struct {
	MountPoint string `json:"mount_point"`
	Source     string `json:"source"` // as in /proc/self/mountinfo
	Type       string `json:"type"`
	Size       uint64 `json:"size"`      // bytes in total
	Available  uint64 `json:"available"` // bytes for an unprivileged user
	Free       uint64 `json:"free"`      // unused bytes; some may be reserved for root
	ReadOnly   bool   `json:"read_only,omitempty"`
	// Quota is the limit of the Btrfs quota group of the path's subvolume, if it is below the size of
	// the file system. Size, Available and Free are those of the quota then.
	Quota uint64 `json:"quota,omitempty"`
}

// Mount is the mount of a mount point, and its line in fstab.
type Mount struct {
	Mounted bool     `json:"mounted,omitempty"`
	Source  string   `json:"source,omitempty"` // the real path of the device
	Type    string   `json:"type,omitempty"`
	UUID    string   `json:"uuid,omitempty"` // of the mounted file system
	Options []string `json:"options,omitempty"`
	Fstab   string   `json:"fstab,omitempty"` // the unchanged line of /etc/fstab for this mount point
	// FstabDevice is the real path of the block device that the line names in any form. It is empty if
	// there is no such device.
	FstabDevice string `json:"fstab_device,omitempty"`
	// Real is the real path of the mount point, if a link leads to it. The mount is the one there.
	Real string `json:"real,omitempty"`
}

// Tree is a directory tree that may contain very many files. It describes only the top directory,
// and identifies it.
type Tree struct {
	Place
	Kind Kind `json:"kind,omitempty"` // of the path, with all links resolved
	// Identity identifies the directory, also after a reboot. It is the text of a claim (package
	// claim).
	Identity string `json:"identity,omitempty"`
	// Entries are the first names in the directory, sorted, at most MaxTreeEntries. Names of
	// directories end in a slash. lost+found is not listed.
	Entries []string `json:"entries,omitempty"`
	More    bool     `json:"more,omitempty"`   // there are more entries
	Mounts  []string `json:"mounts,omitempty"` // mount points below the directory
	On      string   `json:"on,omitempty"`     // type and source of the file system, as in mountinfo
	Bound   string   `json:"bound,omitempty"`  // for a bind mount: the source directory, as a path in its file system
	Others  []Place  `json:"others,omitempty"` // the places of the paths in Args
}

// Place is where a path leads through all links and mounts. For a path that does not exist, it is
// where it would be created.
type Place struct {
	Path string `json:"path"`
	Real string `json:"real"` // the path with all links resolved
	// At is the device number of the file system, a colon, and the path in that file system. Two paths
	// to the same place have the same value, even through a bind mount.
	At string `json:"at"`
}

// Block is a block device.
type Block struct {
	Path      string `json:"path,omitempty"` // with all links resolved; empty if the device does not exist
	Size      uint64 `json:"size,omitempty"` // bytes
	Signature string `json:"signature,omitempty"`
	// Data is where the first byte that is not zero is, such as "at byte 1024". It is set only if the
	// device has no signature and nothing else uses it.
	Data string `json:"data,omitempty"`
	// Used and Capacity are the sizes of the file system, in bytes, if its superblock has them.
	Used       uint64   `json:"used,omitempty"`
	Capacity   uint64   `json:"capacity,omitempty"`
	UUID       string   `json:"uuid,omitempty"`
	Label      string   `json:"label,omitempty"`
	Mounts     []string `json:"mounts,omitempty"`     // where it is mounted
	Holders    []string `json:"holders,omitempty"`    // devices built on it (LVM, RAID, crypt): /dev/mapper/NAME, /dev/md0
	Partitions []string `json:"partitions,omitempty"` // its partitions
	Swap       bool     `json:"swap,omitempty"`
	ReadOnly   bool     `json:"read_only,omitempty"`
}

// Package is a package in the host's package manager.
type Package struct {
	Installed string `json:"installed,omitempty"` // version; empty when not installed
	Candidate string `json:"candidate,omitempty"` // newest available version, if asked for
	Broken    string `json:"broken,omitempty"`    // the package manager's word for a half-installed state
	Essential bool   `json:"essential,omitempty"` // the system needs it: it must never be removed
	Held      bool   `json:"held,omitempty"`      // the package manager must not change it (apt-mark hold)
}

// Unit is a systemd unit (systemctl show).
type Unit struct {
	LoadState     string `json:"load_state"`      // loaded, not-found, masked, …
	ActiveState   string `json:"active_state"`    // active, inactive, failed, activating, …
	UnitFileState string `json:"unit_file_state"` // enabled, disabled, static, masked, …
	CanReload     bool   `json:"can_reload,omitempty"`
}

// User is a user account. UID is -1 if it does not exist.
type User struct {
	UID    int      `json:"uid"`
	GID    int      `json:"gid"`
	Group  string   `json:"group,omitempty"` // primary group's name
	Home   string   `json:"home,omitempty"`
	Shell  string   `json:"shell,omitempty"`
	Gecos  string   `json:"gecos,omitempty"`
	Groups []string `json:"groups,omitempty"` // supplementary groups, sorted
	Remote bool     `json:"remote,omitempty"` // it comes from a directory service, not from /etc/passwd
	// With the option "usable": the home directory is missing; the account has expired (shadow(5)).
	NoHome  bool `json:"no_home,omitempty"`
	Expired bool `json:"expired,omitempty"`
}

// Group is a group. GID is -1 if it does not exist.
type Group struct {
	GID     int      `json:"gid"`
	Members []string `json:"members,omitempty"`
}

// Loaded reports whether files are unchanged since a unit last loaded them.
type Loaded struct {
	Recorded bool `json:"recorded,omitempty"` // there is a record
	Current  bool `json:"current,omitempty"`  // and the files still have the recorded digest
}

// HTTP is the result of one GET. Status is 0 if there was no answer; Error is then the reason.
type HTTP struct {
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"` // at most 4 KiB
	Error  string `json:"error,omitempty"`
	// Trees names a tree that is not served, and why. It is empty if a file of each tree is served.
	Trees string `json:"trees,omitempty"`
	// Unverified is why the certificate does not verify for the host against the CAs of the system.
	// The request is sent all the same: a site may have a certificate of its own.
	Unverified string `json:"unverified,omitempty"`
	// Missing means that nothing is known about an answer over TLS: the host has no openssl(1).
	Missing bool `json:"missing,omitempty"`
}

// Listeners are the TCP sockets that listen on the ports asked about, one per address, in the order
// of their ports.
type Listeners struct {
	Sockets []Listener `json:"sockets,omitempty"` // at most MaxListeners
	More    bool       `json:"more,omitempty"`    // there are more
	// Hidden means that the helper's user may not see whose sockets they are: a Program may be empty
	// for that reason alone.
	Hidden bool `json:"hidden,omitempty"`
}

// UDP is the Arg of AskListeners for sockets of UDP.
const UDP = "udp"

// Listener is a socket that listens, and one of the processes that hold it.
type Listener struct {
	Address string `json:"address"` // an IP address, without brackets
	Port    int    `json:"port"`
	// IPv4 means that a socket of IPv6 accepts connections over IPv4 as well (ipv6(7), IPV6_V6ONLY);
	// false for UDP, of which it is not known.
	IPv4    bool   `json:"ipv4,omitempty"`
	Program string `json:"program,omitempty"` // its name in the kernel (proc(5), comm); empty: not found
	PID     int    `json:"pid,omitempty"`
	Unit    string `json:"unit,omitempty"` // systemd's unit of the process
}

// Bus is what a service on the system bus answers.
type Bus struct {
	Absent bool `json:"absent,omitempty"` // no program has the name on the bus, or there is no bus
	// Results is JSON: an object with the result of each call by the call, with its text instead of
	// *. A variant is its value. A call that the service refuses has an object with the key error.
	Results string `json:"results,omitempty"`
}

// Run is the result of a program.
type Run struct {
	Exit   int    `json:"exit"` // -1 if it did not run or was killed
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
}
