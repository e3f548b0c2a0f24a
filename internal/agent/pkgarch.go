package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// A package is named as the package manager takes it: NAME alone for the package manager's own
// architecture or for none in particular, and otherwise NAME:ARCH (dpkg) or NAME.ARCH (rpm). The
// architecture of the kernel does not count: it may run programs of several.

// native is the package manager's own architecture, which is asked for once.
type native struct {
	mu   sync.Mutex
	arch string
}

func (n *native) get(ask func() (string, error)) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.arch != "" {
		return n.arch, nil
	}
	var err error
	n.arch, err = ask()
	return n.arch, err
}

// learn sets the architecture, unless it is known.
func (n *native) learn(arch string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.arch == "" {
		n.arch = arch
	}
}

// oneWord returns the output of a program, which has to be a single word.
func oneWord(ctx context.Context, argv ...string) (string, error) {
	o, err := ask(ctx, argv...)
	if err != nil {
		return "", err
	}
	f := strings.Fields(o.stdout.String())
	if o.exit != 0 || len(f) != 1 {
		return "", fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), o.exit, lastLine(o.output()))
	}
	return f[0], nil
}

// instance is what the package manager keeps a state for: a name and an architecture.
type instance struct{ name, arch string }

// named returns packages by their names.
func named(m packageManager, found map[instance]*wire.Package, own string) map[string]*wire.Package {
	named := map[string]*wire.Package{}
	for i, p := range found {
		name := i.name
		if !m.isNative(i, own) {
			name = m.full(i)
		}
		// A package that changed from one architecture to all leaves an entry of the old architecture
		// behind.
		if was := named[name]; was == nil || was.Installed == "" && was.Broken == "" {
			named[name] = p
		}
	}
	return named
}

// exact adds the architecture to names that several architectures share: a name alone would mean
// all of them, or be refused.
func (p *packages) exact(names []string) ([]string, error) {
	found, err := p.manager.instances(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	own, err := p.manager.nativeArch(context.Background())
	if err != nil {
		return nil, err
	}
	natives, twins := map[string]instance{}, map[string]bool{}
	for i, w := range found {
		switch {
		case w.Installed == "" && w.Broken == "":
		case p.manager.isNative(i, own):
			natives[i.name] = i
		default:
			twins[i.name] = true
		}
	}
	exact := append([]string(nil), names...)
	for n, name := range exact {
		if i, ok := natives[name]; ok && twins[name] {
			exact[n] = p.manager.full(i)
		}
	}
	return exact, nil
}
