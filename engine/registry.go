package engine

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Registry contains resource types by name.
type Registry struct {
	kinds      map[string]*Kind
	composites map[string]*Composite
}

// Kind is a registered Type without its type parameter, which the rest of the program uses. Every
// state that it takes or returns is a *S of its Type, or an untyped nil.
type Kind struct {
	Name string
	// New returns a new zero state.
	New      func() any
	keys     func(t Target, want any) (provides, needs []Key)
	validate func(want any) []Problem
	ask      func(t Target, want any) []wire.Query
	read     func(t Target, want any, got Answers) (any, error)
	diff     func(t Target, want, have any) []Step
	settles  bool                  // the type is a Settler
	shares   bool                  // the type is a Sharer
	gathers  func(want any) string // nil unless it is a Gatherer, as the next two
	named    func(want any) []string
	gather   func(want, from any) any
	settle   func(t Target, want any, prior *Record, got Answers) any
	complete func(t Target, want any) any
	applies  func(t Target, want any, got Answers) bool
	check    func(t Target, want, have any) []Problem
	follows  func(t Target, want any) []Key
	stale    func(want, have any) any
	reads    func(t Target, want any) []Key
	loads    func(t Target, want any) []Key
	occupies func(t Target, want any) []Key
	without  func(have any, gone func(string) bool) any // nil unless it is a Container
	risk     func(want, have any) string                // nil unless it is Risky
	later    func(want any) bool                        // nil unless it is Later
	// awaits and interim are nil unless it is Interim.
	awaits  func(t Target, want any) []Key
	interim func(t Target, want any, got Answers, missing bool) (state any, means string)
	// generated reports whether the file is one that only mirrorform writes.
	generated func(state any) bool
	keep      string
	batch     string                              // "" unless it is a Batcher
	separate  func(want any) (dir, reason string) // nil unless it is Separate
	claims    func(want any) (what []string, advice string)
	// irreplaceable returns why a resource must not be replaced, or "".
	irreplaceable func(want, have any) string
}

// Register adds a type. Registering a name twice is a bug and panics.
func Register[S any](r *Registry, name string, t Type[S]) {
	if r.kinds == nil {
		r.kinds = map[string]*Kind{}
	}
	if r.kinds[name] != nil {
		panic("engine: resource type registered twice: " + name)
	}
	k := newKind(name, t)
	extend(k, t)
	r.kinds[name] = k
}

// newKind returns a Kind with the methods that every type has.
func newKind[S any](name string, t Type[S]) *Kind {
	return &Kind{
		Name:     name,
		New:      func() any { return new(S) },
		keys:     func(tg Target, want any) ([]Key, []Key) { return t.Keys(tg, stateOf[S](want)) },
		validate: func(want any) []Problem { return t.Validate(stateOf[S](want)) },
		ask:      func(tg Target, want any) []wire.Query { return t.Ask(tg, stateOf[S](want)) },
		diff:     func(tg Target, want, have any) []Step { return t.Diff(tg, stateOf[S](want), stateOf[S](have)) },
		read: func(tg Target, want any, got Answers) (any, error) {
			found, err := t.Read(tg, stateOf[S](want), got)
			if found == nil || err != nil {
				return nil, err
			}
			return found, nil
		},
		settle:   func(_ Target, want any, _ *Record, _ Answers) any { return want },
		complete: func(_ Target, want any) any { return want },
		applies:  func(Target, any, Answers) bool { return true },
		check:    func(Target, any, any) []Problem { return nil },
		follows:  func(Target, any) []Key { return nil },
		stale:    func(_, have any) any { return have },
		reads:    func(Target, any) []Key { return nil },
		loads:    func(Target, any) []Key { return nil },
		occupies: func(Target, any) []Key { return nil },

		claims:        func(any) ([]string, string) { return nil, "" },
		generated:     func(any) bool { return false },
		irreplaceable: func(any, any) string { return "" },
	}
}

// extend adds the optional methods of a type.
func extend[S any](k *Kind, t Type[S]) {
	if c, ok := t.(Settler[S]); ok {
		k.settles = true
		k.settle = func(tg Target, want any, prior *Record, got Answers) any {
			return c.Settle(tg, stateOf[S](want), prior, got)
		}
	}
	if c, ok := t.(Completer[S]); ok {
		k.complete = func(tg Target, want any) any { return c.Complete(tg, stateOf[S](want)) }
	}
	if c, ok := t.(Conditional[S]); ok {
		k.applies = func(tg Target, want any, got Answers) bool { return c.Applies(tg, stateOf[S](want), got) }
	}
	if c, ok := t.(Checker[S]); ok {
		k.check = func(tg Target, want, have any) []Problem { return c.Check(tg, stateOf[S](want), stateOf[S](have)) }
	}
	if f, ok := t.(Follower[S]); ok {
		k.follows = func(tg Target, want any) []Key { return f.Follows(tg, stateOf[S](want)) }
		k.stale = func(want, have any) any {
			if have == nil {
				return nil
			}
			return f.Stale(stateOf[S](want), stateOf[S](have))
		}
	}
	if rd, ok := t.(Reader[S]); ok {
		k.reads = func(tg Target, want any) []Key { return rd.Reads(tg, stateOf[S](want)) }
	}
	if l, ok := t.(Loader[S]); ok {
		k.loads = func(tg Target, want any) []Key { return l.Loads(tg, stateOf[S](want)) }
	}
	if o, ok := t.(Occupier[S]); ok {
		k.occupies = func(tg Target, want any) []Key { return o.Occupies(tg, stateOf[S](want)) }
	}
	if c, ok := t.(Container[S]); ok {
		k.without = func(have any, gone func(string) bool) any { return c.Without(stateOf[S](have), gone) }
	}
	if i, ok := t.(Irreplaceable[S]); ok {
		k.irreplaceable = func(want, have any) string { return i.Irreplaceable(stateOf[S](want), stateOf[S](have)) }
	}
	if rk, ok := t.(Risky[S]); ok {
		k.risk = func(want, have any) string { return rk.Risk(stateOf[S](want), stateOf[S](have)) }
	}
	if g, ok := t.(Generator[S]); ok {
		k.generated = func(v any) bool { return g.Generated(stateOf[S](v)) }
	}
	if l, ok := t.(Later[S]); ok {
		k.later = func(want any) bool { return l.Later(stateOf[S](want)) }
	}
	if in, ok := t.(Interim[S]); ok {
		k.awaits = func(tg Target, want any) []Key { return in.Awaits(tg, stateOf[S](want)) }
		k.interim = func(tg Target, want any, got Answers, missing bool) (any, string) {
			state, means := in.Interim(tg, stateOf[S](want), got, missing)
			if state == nil {
				return nil, means
			}
			return state, means
		}
	}
	if sh, ok := t.(Sharer); ok {
		k.shares = sh.Shares()
	}
	if sp, ok := t.(Separate[S]); ok {
		k.separate = func(want any) (string, string) { return sp.Separate(stateOf[S](want)) }
	}
	if cl, ok := t.(Claimer[S]); ok {
		k.claims = func(want any) ([]string, string) { return cl.Claims(stateOf[S](want)) }
	}
	if g, ok := t.(Gatherer[S]); ok {
		k.gathers = func(want any) string { return g.Gathers(stateOf[S](want)) }
		k.named = func(want any) []string { return g.Named(stateOf[S](want)) }
		k.gather = func(want, from any) any { return g.Gather(stateOf[S](want), stateOf[S](from)) }
	}
	if b, ok := t.(Batcher); ok {
		k.batch = b.Batch()
	}
	if kp, ok := t.(Keeper); ok {
		k.keep = kp.Keep()
	}
}

// stateOf converts a state to its type.
func stateOf[S any](v any) *S {
	if v == nil {
		return nil
	}
	return v.(*S)
}

// Kind returns the type with this name, or nil. A nil registry is empty.
func (r *Registry) Kind(name string) *Kind {
	if r == nil {
		return nil
	}
	return r.kinds[name]
}

// Names returns the names of all types, sorted.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.kinds))
	for name := range r.kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Validate returns problems of a wanted state that exist on every host.
func (k *Kind) Validate(want any) []Problem { return k.validate(want) }

// Keys returns what a resource is on the host, and what must exist before it.
func (k *Kind) Keys(t Target, want any) (provides, needs []Key) { return k.keys(t, want) }

// Follows returns the keys of the resources that this one acts on when they change.
func (k *Kind) Follows(t Target, want any) []Key { return k.follows(t, want) }

// Stale returns the state that have becomes when one of those changes.
func (k *Kind) Stale(want, have any) any { return k.stale(want, have) }

// Ask returns the questions whose answers Read needs. want is completed.
func (k *Kind) Ask(t Target, want any) []wire.Query { return k.ask(t, want) }

// Settles reports whether the type is a Settler.
func (k *Kind) Settles() bool { return k.settles }

// Settle returns want with the values that the answers decide, or want itself if the type is not a
// Settler.
func (k *Kind) Settle(t Target, want any, prior *Record, got Answers) any {
	return k.settle(t, want, prior, got)
}

// Applies reports whether a wanted resource is compared on this host.
func (k *Kind) Applies(t Target, want any, got Answers) bool { return k.applies(t, want, got) }

// Check returns problems of a wanted state on this host.
func (k *Kind) Check(t Target, want, have any) []Problem { return k.check(t, want, have) }

// Read returns the found state from the answers, or nil if the resource is absent.
func (k *Kind) Read(t Target, want any, got Answers) (any, error) { return k.read(t, want, got) }

// requires returns the keys that a resource provides, and those that must stay while it does.
// Followed keys are not among them: a unit works without a file that it would load.
func (k *Kind) requires(t Target, state any) (provides, needs []Key) {
	provides, needs = k.keys(t, state)
	follows := k.follows(t, state)
	return provides, slices.DeleteFunc(slices.Clone(needs), func(n Key) bool { return slices.Contains(follows, n) })
}

// Complete returns a wanted state with its defaults and derived fields.
func (k *Kind) Complete(t Target, want any) any { return k.complete(t, want) }

// Diff returns the steps from have to want. want is completed.
func (k *Kind) Diff(t Target, want, have any) []Step { return k.diff(t, want, have) }

// Resource is one wanted resource on one host.
type Resource struct {
	Address   Address         // HOST/TYPE.NAME or HOST/mirror.NAME.PART
	Kind      *Kind           // its type
	State     any             // *S of Kind
	Sensitive map[string]bool // attributes whose values are secret
	DependsOn []Address       // on the same host
	Source    string          // where it was declared: "fleet.hcl:12"
	Remove    bool            // remove it
	Replace   bool            // remove and recreate it, if it exists
	Orphan    bool            // it is in the host's manifest, but no longer in the configuration
	Now       string          // the type of what is wanted at the address of an orphan of another type
	Keep      string          // why destroy keeps it unless it is named; empty: the type decides
	Made      bool            // the manifest records that mirrorform made it; others are only released, never removed
	Shared    string          // why it is kept although mirrorform made it: something else manages or needs it
	Purge     bool            // remove it even if mirrorform did not make it
	// Data is what a composite type passes to commands that know it. The engine ignores it, and
	// orphans have none.
	Data any

	// Alone is set if the resource must not share the thing with another one, and says what to do.
	Alone  string
	joined []*Resource // see Order

	// yields has the wanted resources that a resource to remove makes room for. See graph.handOvers.
	yields []*Resource

	// after has the resources of Later types that must exist before this one. See graph.markLater.
	after []*Resource

	declared any // for a Settler: State without what the manifest remembers
	// asked and plain are the completed State and declared. They are computed once, when the host is
	// first asked, so State must not change after that.
	asked, plain any
	// once has the attributes that are sensitive only because the host's manifest has them as secrets.
	once map[string]pastSecret
	// PreventDestroy rejects every plan that would remove the resource, even after its block is gone:
	// it is recorded in the manifest.
	PreventDestroy bool
	// Postcondition, if set, returns problems of the state (*S or nil) that is found after an apply.
	Postcondition func(found any) []Problem
}

// completed returns the wanted state with its defaults and derived fields.
func (r *Resource) completed(t Target) any {
	if r.asked == nil {
		r.asked = r.Kind.complete(t, r.State)
	}
	return r.asked
}

// unsettled returns the same without remembered values.
func (r *Resource) unsettled(t Target) any {
	if r.declared == nil {
		return r.completed(t)
	}
	if r.plain == nil {
		r.plain = r.Kind.complete(t, r.declared)
	}
	return r.plain
}

// later reports whether the resource is one of a Later type.
func (r *Resource) later() bool {
	return r.Kind.later != nil && !r.Remove && r.Kind.later(r.State)
}

// Kept returns why the resource is not removed unless it is named, or "".
func (r *Resource) Kept() string {
	if r.Keep != "" {
		return r.Keep
	}
	return r.Kind.keep
}

func (r *Resource) String() string { return fmt.Sprintf("%s (%s)", r.Address, r.Source) }
