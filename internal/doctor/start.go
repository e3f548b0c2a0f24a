package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/resources"
)

// Start is how a configuration for a host may begin.
type Start struct {
	Name    string   // of the host's block
	Path    string   // of the tree
	Server  string   // nginx, apache, caddy or none
	Remarks []string // sentences about the choices
}

var (
	startListeners = wire.Query{Verb: wire.AskListeners, Args: []string{"80"}}
	startMounts    = wire.Query{Verb: wire.AskRun, Args: []string{"findmnt", "--list", "--noheadings", "--bytes", "--real", "--raw", "--output", "AVAIL,FSTYPE,OPTIONS,TARGET"}}
)

// StartQuestions returns what NewStart asks a host, in one message.
func StartQuestions() []wire.Query { return []wire.Query{startListeners, startMounts} }

// notName matches what a name of a block does not have.
var notName = regexp.MustCompile(`[^a-z0-9_-]+`)

// NewStart chooses from what a host answered: the file system with the most space, and the web
// server that is there.
func NewStart(facts *wire.Facts, got engine.Answers) Start {
	name, _, _ := strings.Cut(strings.ToLower(facts.Hostname), ".")
	name = strings.Trim(notName.ReplaceAllString(name, "-"), "-")
	if name == "" || name[0] < 'a' || name[0] > 'z' || slices.Contains([]string{"local", "localhost"}, name) {
		name = "mirror1"
	}
	s := Start{Name: name, Path: "/srv/mirror/almalinux", Server: "nginx"}
	if mounts, err := got.Run(startMounts); err == nil {
		if target := widest(mounts.Stdout); target != "" && target != "/" {
			s.Path = strings.TrimSuffix(target, "/almalinux") + "/almalinux"
			s.Remarks = append(s.Remarks, target+" has the most space.")
		}
	}
	listeners, err := got.Listeners(startListeners)
	if err != nil {
		s.Remarks = append(s.Remarks, "Who listens on port 80 is not known: set web.server to what is there.")
		return s
	}
	holder, ok := holderOf(listeners, 80)
	server := resources.ServerOf(engine.Target{Facts: *facts}, holder.Program)
	switch {
	case !ok:
	case server != "":
		s.Server = server
		s.Remarks = append(s.Remarks, map[string]string{"nginx": "nginx", "apache": "Apache", "caddy": "Caddy"}[server]+" serves other sites already: they stay.")
	default:
		s.Server = "none"
		s.Remarks = append(s.Remarks, "Port 80 is held by "+described(holder)+", which mirrorform does not configure: let it serve the tree.")
	}
	return s
}

// widest returns the mount point with the most available space of findmnt's lines, of file systems
// that can have a tree.
func widest(lines string) (target string) {
	most := uint64(0)
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) != 4 || strings.ContainsAny(f[3], `\"`) || !strings.HasPrefix(f[3], "/") {
			continue
		}
		avail, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil || avail <= most || !slices.Contains([]string{"ext4", "xfs", "btrfs", "zfs"}, f[1]) ||
			slices.Contains(strings.Split(f[2], ","), "ro") || strings.HasPrefix(f[3], "/boot") {
			continue
		}
		most, target = avail, f[3]
	}
	return target
}
