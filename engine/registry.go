package engine

import (
	"fmt"
	"slices"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Registry holds resource types by name.
type Registry struct {
	kinds      map[string]*Kind
	composites map[string]*Composite
}

// Kind is a registered Type with its state's Go type put aside: what the rest of the program handles.
// Every state it takes or gives is a *S of its Type, or an untyped nil.
type Kind struct {
	Name string
	// New returns a new zero state.
	New      func() any
	keys     func(t Target, want any) (provides, needs []Key)
	validate func(want any) []Problem
	ask      func(t Target, want any) []wire.Query
	read     func(t Target, want any, got Answers) (any, error)
	diff     func(t Target, want, have any) []Step
	settles  bool // it is a Settler
	settle   func(t Target, want any, prior *Record, got Answers) any
	complete func(t Target, want any) any
	check    func(t Target, want, have any) []Problem
	follows  func(t Target, want any) []Key
	stale    func(want, have any) any
	reads    func(t Target, want any) []Key
	loads    func(t Target, want any) []Key
	without  func(have any, gone func(string) bool) any // nil unless it is a Container
	risk     func(want, have any) string                // nil unless it is Risky
	// generated says that nobody but mirrorform writes such a file.
	generated func(state any) bool
	keep      string
	// irreplaceable says why a resource must not be replaced, or "".
	irreplaceable func(want, have any) string
}

// Register adds a type. Registering a name twice is a bug.
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

// newKind is a type with what every type has.
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
		check:    func(Target, any, any) []Problem { return nil },
		follows:  func(Target, any) []Key { return nil },
		stale:    func(_, have any) any { return have },
		reads:    func(Target, any) []Key { return nil },
		loads:    func(Target, any) []Key { return nil },

		generated:     func(any) bool { return false },
		irreplaceable: func(any, any) string { return "" },
	}
}

// extend adds what a type may have besides.
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
	if kp, ok := t.(Keeper); ok {
		k.keep = kp.Keep()
	}
}

// stateOf is a state of which the engine knows no more than that it is one.
func stateOf[S any](v any) *S {
	if v == nil {
		return nil
	}
	return v.(*S)
}

// Kind returns the type of that name, or nil. A nil registry has none.
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

// Validate tells what is wrong with a wanted state whatever the host is.
func (k *Kind) Validate(want any) []Problem { return k.validate(want) }

// Keys names what a resource is on the host and what must be there before it.
func (k *Kind) Keys(t Target, want any) (provides, needs []Key) { return k.keys(t, want) }

// Follows returns the keys of the resources that it acts upon when they change.
func (k *Kind) Follows(t Target, want any) []Key { return k.follows(t, want) }

// Stale returns have as it will be once one of those has changed.
func (k *Kind) Stale(want, have any) any { return k.stale(want, have) }

// Ask returns the questions that Read needs answered about a complete want.
func (k *Kind) Ask(t Target, want any) []wire.Query { return k.ask(t, want) }

// Settles reports whether the type is a Settler.
func (k *Kind) Settles() bool { return k.settles }

// Settle returns want with what the answers decide; want itself where the type is not a Settler.
func (k *Kind) Settle(t Target, want any, prior *Record, got Answers) any {
	return k.settle(t, want, prior, got)
}

// Check returns what must not be brought about on the host as it was found.
func (k *Kind) Check(t Target, want, have any) []Problem { return k.check(t, want, have) }

// Read makes the found state out of the answers; nil when there is nothing.
func (k *Kind) Read(t Target, want any, got Answers) (any, error) { return k.read(t, want, got) }

// requires are the keys that a resource provides, and those that have to stay while it does: a unit
// can do without a file that it would have loaded.
func (k *Kind) requires(t Target, state any) (provides, needs []Key) {
	provides, needs = k.keys(t, state)
	follows := k.follows(t, state)
	return provides, slices.DeleteFunc(slices.Clone(needs), func(n Key) bool { return slices.Contains(follows, n) })
}

// Complete returns a wanted state with its defaults and derived fields.
func (k *Kind) Complete(t Target, want any) any { return k.complete(t, want) }

// Diff returns the steps from have to a complete want.
func (k *Kind) Diff(t Target, want, have any) []Step { return k.diff(t, want, have) }

// Resource is one wanted resource on one host.
type Resource struct {
	Address   string          // HOST/TYPE.NAME or HOST/mirror.NAME.PART
	Kind      *Kind           // its type
	State     any             // *S of its type
	Sensitive map[string]bool // attributes whose values are secret
	DependsOn []string        // addresses on the same host
	Source    string          // where it was declared: "fleet.hcl:12"
	Remove    bool            // it is to be removed
	Replace   bool            // it is to be removed and made anew, if it is there
	Orphan    bool            // the host's manifest has it, and the configuration does not any more
	Keep      string          // why destroy leaves it alone unless named; empty: the type decides
	Made      bool            // the host's manifest says that mirrorform made it; else it is never removed, only released
	Shared    string          // why it is not removed though mirrorform made it: something else manages or needs it
	Purge     bool            // it is removed even where mirrorform did not make it
	// Data is what a composite type says of the part, for commands that know the type. The engine
	// hands it on and does not look at it. Orphans have none.
	Data any

	declared any // of a Settler: State without what the manifest remembers
	// asked and plain are State and declared, completed: each is made once, when the host is first
	// asked. State must not change any more then.
	asked, plain any
	// once has the attributes that are sensitive only since the host's manifest has them as
	// secrets.
	once map[string]pastSecret
	// PreventDestroy refuses every plan that would remove it, even after its block is gone: the manifest keeps it.
	PreventDestroy bool
	// Postcondition, where it is not nil, tells what is wrong with the state (*S, or nil) that was found after an apply.
	Postcondition func(found any) []Problem
}

// completed is the wanted state with its defaults and derived fields.
func (r *Resource) completed(t Target) any {
	if r.asked == nil {
		r.asked = r.Kind.complete(t, r.State)
	}
	return r.asked
}

// unsettled is the same without what was remembered.
func (r *Resource) unsettled(t Target) any {
	if r.declared == nil {
		return r.completed(t)
	}
	if r.plain == nil {
		r.plain = r.Kind.complete(t, r.declared)
	}
	return r.plain
}

// Kept says why the resource is not removed unless it is named, or "".
func (r *Resource) Kept() string {
	if r.Keep != "" {
		return r.Keep
	}
	return r.Kind.keep
}

func (r *Resource) String() string { return fmt.Sprintf("%s (%s)", r.Address, r.Source) }
