package cli

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/config"
	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"github.com/mirrorform/mirrorform/resources"
)

// entry is what a mirror publishes about itself.
type entry struct {
	host string
	file mirrorsd.File
}

// entries returns what the mirrors on the named hosts publish, those of all hosts if none is named. A name is that of a host or for_each block, or
// a glob. A host that was named and publishes nothing is an error.
func (a *app) entries(c *config.Config, names []string) ([]entry, error) {
	hosts, err := hostsNamed(c, names)
	if err != nil {
		return nil, err
	}
	published, err := a.published(c)
	if err != nil {
		return nil, err
	}
	var list []entry
	for _, h := range hosts {
		file, ok := published[h.Name]
		switch {
		case ok:
			list = append(list, entry{h.Name, file})
		case len(names) > 0:
			return nil, fmt.Errorf("host %s has no mirror with a publish block, so its URLs are not known; name them in place of the host", h.Name)
		}
	}
	return list, nil
}

// hostsNamed returns the hosts that the names mean.
func hostsNamed(c *config.Config, names []string) ([]*config.Host, error) {
	var hosts []*config.Host
	matched := make([]bool, len(names))
	for _, h := range c.Hosts() {
		selected := len(names) == 0
		for i, name := range names {
			ok, err := path.Match(name, h.Name)
			if err != nil {
				return nil, fmt.Errorf("%q is no host name or glob: %w", name, err)
			}
			if ok || name == h.Name || name == h.Block {
				matched[i], selected = true, true
			}
		}
		if selected && !h.Local {
			hosts = append(hosts, h)
		}
	}
	if i := slices.Index(matched, false); i >= 0 {
		return nil, fmt.Errorf("%q means no host of this configuration, and is no URL", names[i])
	}
	return hosts, nil
}

// published are the mirrors.d files that the configuration makes, by host. Those that need facts of their hosts are not among them.
func (a *app) published(c *config.Config) (map[string]mirrorsd.File, error) {
	files := map[string]mirrorsd.File{}
	if !slices.ContainsFunc(c.Hosts(), func(h *config.Host) bool { return h.Local }) {
		return files, nil // nothing is published
	}
	list, diags := c.Resources("local", nil)
	a.ui.Diagnostics(diags, c.Files())
	if diags.HasErrors() {
		return nil, errReported
	}
	for _, h := range c.Hosts() {
		for _, r := range list {
			content := publishedContent(r, h.Name)
			if content == nil {
				continue
			}
			file, err := mirrorsd.Parse([]byte(*content))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Address, err)
			}
			files[h.Name] = file
		}
	}
	return files, nil
}

// publishedContent is the content of a mirrors.d file, if the resource is that of the host's mirror; else nil.
func publishedContent(r *engine.Resource, host string) *string {
	file, ok := r.State.(*resources.File)
	if !ok || !strings.HasSuffix(r.Address, fmt.Sprintf(".publish[%q]", host)) {
		return nil
	}
	return file.Content
}
