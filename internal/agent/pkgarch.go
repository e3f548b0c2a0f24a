package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// An instance of a package is written as the package manager takes it: by the name alone where its
// architecture is the package manager's own or none in particular, and as NAME:ARCH (dpkg) or
// NAME.ARCH (rpm) otherwise. What a kernel runs on counts for nothing: it may run the programs of
// several.

// native is the package manager's own architecture, asked once.
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

// oneWord is what a program prints, which has to be one word.
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

// instance is what a package manager keeps a state of.
type instance struct{ name, arch string }

// named has packages by their names.
func named(m packageManager, found map[instance]*wire.Package, own string) map[string]*wire.Package {
	named := map[string]*wire.Package{}
	for i, p := range found {
		name := i.name
		if !m.isNative(i, own) {
			name = m.full(i)
		}
		// A package that was built for one architecture and is for all now leaves a trace of the
		// first.
		if was := named[name]; was == nil || was.Installed == "" && was.Broken == "" {
			named[name] = p
		}
	}
	return named
}

// exact names packages such that no instance of another architecture is meant: a name alone means
// all of them, or is refused.
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
