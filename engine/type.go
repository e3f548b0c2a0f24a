// Package engine makes plans from wanted states and applies them to hosts.
//
// Data flows one way: the configuration provides the wanted resources of each host; a resource type
// asks the host about them; the answers become found states; Diff compares the two and returns
// steps; a Plan contains the steps of all hosts; Apply performs them over a Session. Resource types
// are pure: they never use a connection, a file or a clock.
package engine

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Target is the host of a resource, as resource types see it. In validate, before any host is
// reached, Facts is zero and Records is empty.
type Target struct {
	Name    string
	Facts   wire.Facts
	Helper  string   // SHA-256 of the host's helper, in hex, see wire.WriteOp.Program
	Records []Record // the host's manifest, with the entries of all configurations
	// Wanted are the resources of Separate types that this run wants on the host. Their State is not
	// completed.
	Wanted []Record
	// Settled are the wanted states (*S) of Settlers that this comparison has settled already.
	Settled []any
	// Unsettled are the completed wanted states (*S) of Settlers that it settles later.
	Unsettled []any
	// Removed are the completed states (*S) of Settlers that it removes, in this order.
	Removed []any
	// Provided has what the resources that this comparison wants provide.
	Provided map[Key]bool
	// Stops are the units that this comparison has found to be stopped by the plan so far. Starts are
	// those that it starts, restarts or reloads.
	Stops, Starts []string
	own           map[string]*Record // the entries of this configuration, by address
}

// Type is a resource type. S is the state of one resource: wanted and found states have the same
// struct.
//
// A configuration sets the fields of S with an `hcl:"name"` or `hcl:"name,optional"` tag. An
// additional `id:"true"` marks those that identify the thing on the host: they are always printed,
// so they cannot be sensitive. Fields with a `plan:"name"` tag are derived, and plans show them;
// with `plan:"name,found"`, also if only the found state has them. Fields with a `remember:"name"`
// tag are stored in the host's manifest, see Settler. An attribute is not managed if the wanted
// state has a nil pointer, empty string, slice or map.
//
// Saved plans contain digests of all fields, exported or not, except those with a `fingerprint:"-"`
// tag: values that change by themselves, and content that is not managed.
//
// A nil *S means absent. A wanted state is completed once (Completer), and Ask, Read, Diff, Settle
// and Check receive the completed state. Keys, Validate and the other methods receive it as
// configured. All methods are pure, and must not keep or change their arguments.
type Type[S any] interface {
	// Keys returns what the resource is on the host, and what must exist before it. Two resources of a
	// host that provide the same keys are one with two owners, if what they want can be joined.
	Keys(t Target, want *S) (provides, needs []Key)
	// Validate returns problems of a wanted state that exist on every host. Facts may be zero.
	Validate(want *S) []Problem
	// Ask returns the questions that Read needs answered.
	Ask(t Target, want *S) []wire.Query
	// Read returns the found state from the answers, or nil if the resource is absent.
	Read(t Target, want *S, got Answers) (*S, error)
	// Diff returns the steps from have to want. A nil have creates, a nil want removes, and equal
	// states need no steps. Unset fields of want are not compared.
	Diff(t Target, want, have *S) []Step
}

// Completer is a Type whose wanted state has defaults, or fields derived from others (the text of a
// generated file). Completing a completed or found state must not change it.
type Completer[S any] interface {
	// Complete returns a completed copy of want.
	Complete(t Target, want *S) *S
}

// Checker is a Type that can find problems of a wanted state once the host has answered. A problem
// that is an error stops the host's plan before anything is changed.
type Checker[S any] interface {
	Check(t Target, want, have *S) []Problem
}

// Conditional is a Type of which a resource may have nothing to do on a host, such as an opening in
// the firewall of a host without one. A resource that does not apply is neither compared nor added
// to the manifest; if the manifest has it, its removal is planned like any other. If an apply makes
// it one that applies, the next plan has it, unless the type has foreseen that (Step.Foreseen).
type Conditional[S any] interface {
	// Applies reports whether there is something to compare. It is true if the answers do not show it,
	// so that Read reports why.
	Applies(t Target, want *S, got Answers) bool
}

// Follower is a Type that must act when other resources change: a service whose configuration file
// is replaced.
type Follower[S any] interface {
	// Follows returns the keys of those resources.
	Follows(t Target, want *S) []Key
	// Stale returns the state that have becomes when one of them changes.
	Stale(want, have *S) *S
}

// Reader is a Type that reads what other resources create: a service reads its configuration when
// it starts.
type Reader[S any] interface {
	// Reads returns the keys of those resources. A resource that provides one of them, or a path below
	// it, comes first, unless it needs this resource or reads it too.
	Reads(t Target, want *S) []Key
}

// Loader is a Type whose last steps make a unit load what the first ones write, and start it if it
// is not running (the site of a web server). The unit's resource comes after it, since the unit may
// fail to start before the file exists.
type Loader[S any] interface {
	// Loads returns the keys of the units. Keys must return them as needs too, so that the units are
	// not removed before this resource.
	Loads(t Target, want *S) []Key
}

// Container is a Type that can be removed only when it is empty: a directory.
type Container[S any] interface {
	// Without returns have without the paths for which gone returns true.
	Without(have *S, gone func(path string) bool) *S
}

// Risky is a Type that knows which of its changes may cut the connection. For other types, the
// engine decides by the paths, units, accounts and packages of the steps.
type Risky[S any] interface {
	// Risk returns what may be cut off, in a few words, or "". want is nil for a removal, have for a
	// creation.
	Risk(want, have *S) string
}

// Irreplaceable is a Type of which some resources would lose data if they were removed and
// recreated.
type Irreplaceable[S any] interface {
	// Irreplaceable returns why a resource must not be replaced, in a few words, or "".
	Irreplaceable(want, have *S) string
}

// Generator is a Type of which some resources are files that only mirrorform writes. Manifests of
// format 1 do not record what mirrorform made, so such files count as made.
type Generator[S any] interface {
	Generated(state *S) bool
}

// Separate is a Type whose resources own directories that must not be in one another, such as the
// trees of two syncs.
type Separate[S any] interface {
	// Separate returns the directory, and the reason in a few words: "each sync would delete …".
	Separate(want *S) (dir, reason string)
}

// Claimer is a Type whose resources claim what only one of a host can have, besides their keys.
type Claimer[S any] interface {
	// Claims returns what that is, in a few words ("the default site for …"), and what to do if
	// another resource claims it, too.
	Claims(want *S) (what []string, advice string)
}

// Discreet is a state that changes when it contains secrets.
type Discreet interface {
	HoldsSecret()
}

// Keeper is a Type whose resources cannot be restored once removed. Destroy keeps them unless they
// are named.
type Keeper interface {
	// Keep returns the reason in a few words: "its files would be lost".
	Keep() string
}

// Sharer is a Type of which several resources can be parts of one thing, such as the trees of a
// site. Order joins those that provide one key in common, not only those with the same keys. The
// first key is that of the thing, such as a file, which goes with the last of the resources.
type Sharer interface {
	Shares() bool
}

// Batcher is a Type whose changes a host performs with one run of a slow program, as far as their
// order allows: Order puts the resources of one batch together.
type Batcher interface {
	// Batch returns the name of the batch.
	Batch() string
}

// Later is a Type of which resources need more than their host: the certificate of a CA. If such a
// resource changes, it and everything that depends on it are applied in a second transaction, after
// all other changes are committed. If the second one fails, the first one stays. Removals are never
// later.
type Later[S any] interface {
	Later(want *S) bool
}

// Interim is a Type of which a resource can have another state until the second transaction (see
// Later) has committed: port 80 serves until HTTPS does, and redirects then. Where all is changed
// in one transaction, that state is skipped.
type Interim[S any] interface {
	// Awaits returns the keys of what the resource waits for, which may come after it. Awaited
	// resources are selected with it.
	Awaits(t Target, want *S) []Key
	// Interim returns the state until then: want itself if it is the same, nil if the resource is
	// absent. missing: the host lacks one of the resources that are awaited. means is what clients
	// notice, in a few words.
	Interim(t Target, want *S, got Answers, missing bool) (state *S, means string)
}

// Gatherer is a Type of which a resource can take something from other ones of its type on the same
// host: a site over HTTPS serves the trees of the one over HTTP.
type Gatherer[S any] interface {
	// Gathers returns a name, or "": want takes from the resources whose Named has that name.
	Gathers(want *S) string
	Named(want *S) []string
	// Gather returns want with what it takes from another resource.
	Gather(want, from *S) *S
}

// Key identifies a thing on a host: "path:/etc/motd", "user:mirror", "package:rsync",
// "unit:cron.service".
type Key string

// The kinds of keys. A resource meets the need of a path if it provides that path or one above it.

// PathKey returns the key of an absolute path.
func PathKey(path string) Key { return Key("path:" + path) }

// UserKey returns the key of a user account.
func UserKey(name string) Key { return Key("user:" + name) }

// GroupKey returns the key of a group.
func GroupKey(name string) Key { return Key("group:" + name) }

// PackageKey returns the key of a package, by its name on that host.
func PackageKey(name string) Key { return Key("package:" + name) }

// UnitKey returns the key of a systemd unit, with its suffix.
func UnitKey(name string) Key { return Key("unit:" + name) }

// DeviceKey returns the key of a block device's content.
func DeviceKey(path string) Key { return Key("device:" + path) }

// MountKey returns the key of a mount point. Everything below the mount point needs it.
func MountKey(path string) Key { return Key("mount:" + path) }

// Severity distinguishes errors and warnings.
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

// Problem is a problem of a resource: a diagnostic without its source position, which the
// configuration adds.
type Problem struct {
	Severity  Severity
	Attribute string // the attribute it is about, or ""
	Summary   string // one line: what is wrong
	Detail    string // what to do about it
	// Plain means that the text quotes no values, so that it is shown even for resources with
	// sensitive values.
	Plain bool
}

func (p Problem) String() string {
	if p.Detail == "" {
		return p.Summary
	}
	return p.Summary + ": " + p.Detail
}

// Errorf returns a Problem that is an error.
func Errorf(attribute, format string, args ...any) Problem {
	return Problem{Severity: Error, Attribute: attribute, Summary: fmt.Sprintf(format, args...)}
}

// Step is one action of a plan on a host, as data.
type Step struct {
	Summary string // as plans print it: "write /etc/motd"; never contains a value that may be secret
	Do      wire.Op
	Undo    *wire.Op // the operation that undoes Do
	Final   string   // if Undo is nil: why Do cannot be undone
	// Hints explain errors of the program that Do runs, or of the request that it sends. The first one
	// that applies is shown.
	Hints []Hint
	Later bool // it is for the second transaction, if there are two: see HostPlan.Twice
	// Foreseen means that Do depends on what an earlier change of the plan does, such as the start of
	// a unit (Target.Starts): the apply observes the host in between, and compares the resource again.
	Foreseen bool
}

// ChangesNothing is the Final of a step that only checks.
const ChangesNothing = "a check changes nothing"

// Hint is what to do about an error, if the output of the program, or the error of the request,
// contains a text.
type Hint struct{ Text, Advice string }

// Answers are the answers of a host.
type Answers struct {
	byKey map[string]wire.Answer
	// prints has the fingerprint of each path that was asked about.
	prints map[string]string
}

// NewAnswers pairs queries with their answers, which are in the same order.
func NewAnswers(queries []wire.Query, answers []wire.Answer) (Answers, error) {
	if len(queries) != len(answers) {
		return Answers{}, fmt.Errorf("%d answers to %d questions", len(answers), len(queries))
	}
	a := Answers{byKey: make(map[string]wire.Answer, len(queries)), prints: map[string]string{}}
	for i, q := range queries {
		a.byKey[q.Key()] = answers[i]
		if f := answers[i].File; f != nil && q.Verb == wire.AskFile && identifies(q.Option) {
			a.prints[q.Arg] = f.Fingerprint
		}
	}
	return a, nil
}

// identifies reports whether the answer to AskFile with an option has the fingerprint by which
// operations know the path. Parts of files and labels have others.
func identifies(option string) bool {
	return option == "" || strings.HasPrefix(option, "content")
}

// answer returns the field of q's answer that pick selects.
func answer[T any](a Answers, q wire.Query, pick func(wire.Answer) *T) (T, error) {
	var none T
	got, ok := a.byKey[q.Key()]
	if !ok {
		return none, fmt.Errorf("%s: was not asked", q)
	}
	if got.Error != "" {
		return none, fmt.Errorf("%s: %s", q, got.Error)
	}
	v := pick(got)
	if v == nil {
		return none, fmt.Errorf("%s: the answer has a different type", q)
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

// Listeners returns the answer to an AskListeners query.
func (a Answers) Listeners(q wire.Query) (wire.Listeners, error) {
	return answer(a, q, func(w wire.Answer) *wire.Listeners { return w.Listeners })
}

// Tree returns the answer to an AskTree query.
func (a Answers) Tree(q wire.Query) (wire.Tree, error) {
	return answer(a, q, func(w wire.Answer) *wire.Tree { return w.Tree })
}

// Bus returns the answer to an AskBus query.
func (a Answers) Bus(q wire.Query) (wire.Bus, error) {
	return answer(a, q, func(w wire.Answer) *wire.Bus { return w.Bus })
}

// Run returns the answer to an AskRun query.
func (a Answers) Run(q wire.Query) (wire.Run, error) {
	return answer(a, q, func(w wire.Answer) *wire.Run { return w.Run })
}
