// Package engine turns wanted states into plans, and plans into what hosts do.
//
// Data flows one way: the configuration gives each host's wanted resources; a resource type says what to ask the host
// about them; the answers become found states; Diff compares the two and returns steps; a Plan holds the steps of all hosts; Apply
// performs them over a Session. Resource types are pure: none touches a connection, a file or a clock.
package engine

import (
	"fmt"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Target is the host that a resource is on, as resource types see it. With validate, before any
// host was reached, Facts is zero and Records is empty.
type Target struct {
	Name    string
	Facts   wire.Facts
	Helper  string             // SHA-256 of the host's helper, in hex: see wire.WriteOp.Program
	Records []Record           // what the host's manifest holds, of all configurations
	own     map[string]*Record // those of this configuration, by address
}

// Type is a resource type. S is the state of one resource: the same struct is what is wanted and
// what is found.
//
// Fields of S with an `hcl:"name"` or `hcl:"name,optional"` tag are what a configuration sets; in
// addition `id:"true"` marks those that say which thing on the host is meant: they are always
// printed, so they cannot be sensitive. Fields with a `plan:"name"` tag are derived, and shown in
// plans; with `plan:"name,found"` also where only the found state has them. Fields with a
// `remember:"name"` tag are kept in the host's manifest, see Settler. A nil pointer, empty string,
// slice or map in a wanted state is not managed.
//
// Saved plans have digests of all fields, exported or not, but for those with a `fingerprint:"-"`
// tag: what changes by itself, and content that is not managed.
//
// A nil *S means absent. What is wanted is completed once (Completer), and Ask, Read, Diff, Settle
// and Check get that. Keys, Validate and the rest get it as the configuration has it. All methods
// are pure and must not keep or change what they are given.
type Type[S any] interface {
	// Keys names what the resource is on the host and what must be there before it.
	// Two resources of a host that provide the same key are an error.
	Keys(t Target, want *S) (provides, needs []Key)
	// Validate tells what is wrong with a wanted state whatever the host is. It may be called with zero facts.
	Validate(want *S) []Problem
	// Ask returns the questions that Read needs answered.
	Ask(t Target, want *S) []wire.Query
	// Read makes the found state out of the answers; nil when there is nothing.
	Read(t Target, want *S, got Answers) (*S, error)
	// Diff returns the steps from have to want: a nil have creates, a nil want removes, equal states need none. What want leaves unset is not compared.
	Diff(t Target, want, have *S) []Step
}

// Completer is a Type whose wanted state has defaults, or fields derived from others (the text of a
// generated file). Completing a completed or found state changes nothing.
type Completer[S any] interface {
	// Complete returns a completed copy of want.
	Complete(t Target, want *S) *S
}

// Checker is a Type that can find, once the host has answered, that a wanted state must not be brought about there.
// A problem that is an error stops the host's plan before anything is written on that host.
type Checker[S any] interface {
	Check(t Target, want, have *S) []Problem
}

// Follower is a Type that has to act when other resources change (a service whose configuration file is replaced).
type Follower[S any] interface {
	// Follows returns the keys of those resources.
	Follows(t Target, want *S) []Key
	// Stale returns have as it will be once one of them has changed.
	Stale(want, have *S) *S
}

// Reader is a Type that reads what other resources make once it acts: a service reads its
// configuration when it starts.
type Reader[S any] interface {
	// Reads returns their keys. What provides one of them, or a path below it, comes first, unless
	// it needs this resource itself or reads it as well.
	Reads(t Target, want *S) []Key
}

// Loader is a Type whose last steps have a unit load what its first ones write, and start it where
// it does not run (a web server's site). The unit's resource comes after it, since a unit that does
// not run may not start before it is written.
type Loader[S any] interface {
	// Loads returns the keys of the units. They are also among those that it needs: they are not
	// removed while it stays.
	Loads(t Target, want *S) []Key
}

// Container is a Type of what can only be removed once what is in it is gone (a directory).
type Container[S any] interface {
	// Without returns have as it will be without the paths for which gone is true.
	Without(have *S, gone func(path string) bool) *S
}

// Risky is a Type that knows which of its changes can cut the operator off. Of other types the
// engine judges by the paths, units, accounts and packages that the steps are about.
type Risky[S any] interface {
	// Risk names what may be cut, in a few words, or returns "". want is nil for a removal, have
	// for a creation.
	Risk(want, have *S) string
}

// Irreplaceable is a Type of which some resources hold what is lost when they are removed and made anew.
type Irreplaceable[S any] interface {
	// Irreplaceable says why a resource must not be replaced, in a few words, or returns "".
	Irreplaceable(want, have *S) string
}

// Generator is a Type some of whose resources are files that nobody but mirrorform writes.
// Manifests of format 1 do not say what mirrorform made: such a file counts as made.
type Generator[S any] interface {
	Generated(state *S) bool
}

// Discreet is a state that differs when secrets go into it.
type Discreet interface {
	HoldsSecret()
}

// Keeper is a Type whose resources hold what cannot be brought back. Destroy leaves them alone unless one is named.
type Keeper interface {
	// Keep says why, in a few words: "its files would be lost".
	Keep() string
}

// Key names a thing on a host: "path:/etc/motd", "user:mirror", "package:rsync", "unit:cron.service".
type Key string

// The kinds of keys. A need of a path is met by whatever provides that path or one above it.

// PathKey is the key of an absolute path.
func PathKey(path string) Key { return Key("path:" + path) }

// UserKey is the key of a user account.
func UserKey(name string) Key { return Key("user:" + name) }

// GroupKey is the key of a group.
func GroupKey(name string) Key { return Key("group:" + name) }

// PackageKey is the key of a package, by the name it has on that host.
func PackageKey(name string) Key { return Key("package:" + name) }

// UnitKey is the key of a systemd unit, with its suffix.
func UnitKey(name string) Key { return Key("unit:" + name) }

// DeviceKey is the key of a block device's content.
func DeviceKey(path string) Key { return Key("device:" + path) }

// MountKey is the key of a mount point. What lies below a mount point needs it.
func MountKey(path string) Key { return Key("mount:" + path) }

// Severity tells an error from a warning.
type Severity int

// The severities.
const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Problem is something wrong with a resource: a diagnostic without its place, which the configuration adds.
type Problem struct {
	Severity  Severity
	Attribute string // the attribute it is about, or ""
	Summary   string // one line: what is wrong
	Detail    string // what to do about it
	// Plain says that it quotes no value, so that it is shown of resources with sensitive values,
	// too.
	Plain bool
}

func (p Problem) String() string {
	if p.Detail == "" {
		return p.Summary
	}
	return p.Summary + ": " + p.Detail
}

// Errorf is a Problem that is an error.
func Errorf(attribute, format string, args ...any) Problem {
	return Problem{Severity: Error, Attribute: attribute, Summary: fmt.Sprintf(format, args...)}
}

// Step is one thing that a plan does on a host, as data.
type Step struct {
	Summary string // as plans print it: "write /etc/motd"; it never holds a value that may be secret
	Do      wire.Op
	Undo    *wire.Op // what takes it back
	Final   string   // where Undo is nil: why it cannot be taken back
}

// Answers holds what a host answered.
type Answers struct {
	byKey map[string]wire.Answer
	// prints holds the fingerprint of each path that was asked about.
	prints map[string]string
}

// NewAnswers pairs queries with their answers, which stand in the same order.
func NewAnswers(queries []wire.Query, answers []wire.Answer) (Answers, error) {
	if len(queries) != len(answers) {
		return Answers{}, fmt.Errorf("%d answers to %d questions", len(answers), len(queries))
	}
	a := Answers{byKey: make(map[string]wire.Answer, len(queries)), prints: map[string]string{}}
	for i, q := range queries {
		a.byKey[q.Key()] = answers[i]
		if f := answers[i].File; f != nil && q.Verb == wire.AskFile {
			a.prints[q.Arg] = f.Fingerprint
		}
	}
	return a, nil
}

// answer finds the field of q's answer that pick selects.
func answer[T any](a Answers, q wire.Query, pick func(wire.Answer) *T) (T, error) {
	var none T
	got, ok := a.byKey[q.Key()]
	if !ok {
		return none, fmt.Errorf("%s: was not asked", q.Key())
	}
	if got.Error != "" {
		return none, fmt.Errorf("%s: %s", q.Key(), got.Error)
	}
	v := pick(got)
	if v == nil {
		return none, fmt.Errorf("%s: the answer is of another kind", q.Key())
	}
	return *v, nil
}

// File returns the answer to an AskFile query.
func (a Answers) File(q wire.Query) (wire.File, error) {
	return answer(a, q, func(w wire.Answer) *wire.File { return w.File })
}

// Filesystem returns the answer to an AskFilesystem query.
func (a Answers) Filesystem(q wire.Query) (wire.Filesystem, error) {
	return answer(a, q, func(w wire.Answer) *wire.Filesystem { return w.Filesystem })
}

// Mount returns the answer to an AskMount query.
func (a Answers) Mount(q wire.Query) (wire.Mount, error) {
	return answer(a, q, func(w wire.Answer) *wire.Mount { return w.Mount })
}

// Block returns the answer to an AskBlock query.
func (a Answers) Block(q wire.Query) (wire.Block, error) {
	return answer(a, q, func(w wire.Answer) *wire.Block { return w.Block })
}

// Package returns the answer to an AskPackage query.
func (a Answers) Package(q wire.Query) (wire.Package, error) {
	return answer(a, q, func(w wire.Answer) *wire.Package { return w.Package })
}

// Unit returns the answer to an AskUnit query.
func (a Answers) Unit(q wire.Query) (wire.Unit, error) {
	return answer(a, q, func(w wire.Answer) *wire.Unit { return w.Unit })
}

// User returns the answer to an AskUser query.
func (a Answers) User(q wire.Query) (wire.User, error) {
	return answer(a, q, func(w wire.Answer) *wire.User { return w.User })
}

// Group returns the answer to an AskGroup query.
func (a Answers) Group(q wire.Query) (wire.Group, error) {
	return answer(a, q, func(w wire.Answer) *wire.Group { return w.Group })
}

// Loaded returns the answer to an AskLoaded query.
func (a Answers) Loaded(q wire.Query) (wire.Loaded, error) {
	return answer(a, q, func(w wire.Answer) *wire.Loaded { return w.Loaded })
}

// HTTP returns the answer to an AskHTTP query.
func (a Answers) HTTP(q wire.Query) (wire.HTTP, error) {
	return answer(a, q, func(w wire.Answer) *wire.HTTP { return w.HTTP })
}

// Tree returns the answer to an AskTree query.
func (a Answers) Tree(q wire.Query) (wire.Tree, error) {
	return answer(a, q, func(w wire.Answer) *wire.Tree { return w.Tree })
}

// Run returns the answer to an AskRun query.
func (a Answers) Run(q wire.Query) (wire.Run, error) {
	return answer(a, q, func(w wire.Answer) *wire.Run { return w.Run })
}
