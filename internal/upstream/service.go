package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"gopkg.in/yaml.v3"
)

// Service is what AlmaLinux's mirror service is configured with, its config.yml, as far as it says what mirrors are asked for.
type Service struct {
	// What mirrors.d files have to agree with; AllowedOutdate is also how old the time in TIME may be.
	mirrorsd.Service
	// Versions are the release directories of the tree, with the names of major releases among them.
	Versions []string
	// Modules are the optional trees beside almalinux, such as "kitten", with their major versions. The directory of one is VERSION-MODULE.
	Modules map[string][]string
	// DuplicatedVersions maps a major release to the release that its directory is a link to. The keys are not asked for.
	DuplicatedVersions map[string]string
	// Arches are the architectures of each major release ("10") and of each module's ("10-kitten").
	Arches map[string][]string
	// Repos are the repositories, but for those of the vault, which mirrors do not carry.
	Repos []Repo
}

// Repo is a repository that each release has, or those in Versions.
type Repo struct {
	Name     string
	Path     string   // below the release's directory; $basearch stands for the architecture
	Versions []string // nil: all
	Arches   []string // nil: all of the release
}

// MaxServiceSize is the number of bytes that a config.yml may have.
const MaxServiceSize = 1 << 20

// maxProbes is how many files a config.yml may have mirrors asked for.
const maxProbes = 5000

// text is a YAML scalar as it is written, so that an unquoted 8.10 is not 8.1.
type text string

// UnmarshalYAML takes the text of any scalar.
func (t *text) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: must be a plain value", n.Line)
	}
	*t = text(n.Value)
	return nil
}

// serviceFile is config.yml (service_config.v3.schema.json).
type serviceFile struct {
	AllowedOutdate     text            `yaml:"allowed_outdate"`
	Versions           []text          `yaml:"versions"`
	Modules            map[text][]text `yaml:"optional_module_versions"`
	DuplicatedVersions map[text]text   `yaml:"duplicated_versions"`
	Arches             map[text][]text `yaml:"arches"`
	Protocols          []text          `yaml:"required_protocols"`
	Repos              []struct {
		Name     text   `yaml:"name"`
		Path     text   `yaml:"path"`
		Versions []text `yaml:"versions"`
		Arches   []text `yaml:"arches"`
		Vault    bool   `yaml:"vault"`
	} `yaml:"repos"`
}

// ParseService reads a config.yml. Keys that do not matter here are passed over; what is missing or could not be used is an error.
func ParseService(data []byte) (s *Service, err error) {
	if len(data) > MaxServiceSize {
		return nil, fmt.Errorf("it has %d bytes, more than the limit of %d", len(data), MaxServiceSize)
	}
	// yaml.v3 has inputs on which its parser panics, and the file comes from elsewhere.
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("it is not readable YAML: %v", r)
		}
	}()
	var f serviceFile
	if err := yaml.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("it is not a config.yml of AlmaLinux's mirror service: %w", err)
	}
	s = &Service{
		Service: mirrorsd.Service{RequiredProtocols: texts(f.Protocols)}, Versions: texts(f.Versions),
		Modules: map[string][]string{}, Arches: map[string][]string{}, DuplicatedVersions: map[string]string{},
	}
	for k, v := range f.Modules {
		s.Modules[string(k)] = texts(v)
	}
	for k, v := range f.Arches {
		s.Arches[string(k)] = texts(v)
	}
	for k, v := range f.DuplicatedVersions {
		s.DuplicatedVersions[string(k)] = string(v)
	}
	for _, r := range f.Repos {
		if !r.Vault {
			s.Repos = append(s.Repos, Repo{Name: string(r.Name), Path: string(r.Path), Versions: texts(r.Versions), Arches: texts(r.Arches)})
		}
	}
	if s.AllowedOutdate, err = mirrorsd.ParseDuration(string(f.AllowedOutdate)); err != nil {
		return nil, fmt.Errorf("allowed_outdate: %w", err)
	}
	return s, s.check()
}

func texts(list []text) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return out
}

func (s *Service) check() error {
	var errs []error
	for _, v := range s.Versions {
		if _, dup := s.DuplicatedVersions[v]; !dup && s.Arches[s.base(v)] == nil {
			errs = append(errs, fmt.Errorf("versions: %q has no entry in arches", v))
		}
	}
	for module, versions := range s.Modules {
		for _, v := range versions {
			if s.Arches[v+"-"+module] == nil {
				errs = append(errs, fmt.Errorf("optional_module_versions: %q has no entry in arches", v+"-"+module))
			}
		}
	}
	if !slices.Contains(s.RequiredProtocols, "http") && !slices.Contains(s.RequiredProtocols, "https") {
		errs = append(errs, errors.New("required_protocols: has neither http nor https"))
	}
	probes := s.Repodata()
	for module := range s.Modules {
		probes = append(probes, s.ModuleRepodata(module)...)
	}
	if len(probes) == 0 {
		errs = append(errs, errors.New("repos and versions: mirrors are asked for nothing"))
	}
	if len(probes) > maxProbes {
		errs = append(errs, fmt.Errorf("repos and versions: mirrors are asked for %d files, more than the limit of %d", len(probes), maxProbes))
		probes = nil
	}
	for _, p := range append(probes, s.ISOs()...) {
		if !cleanPath(p) {
			errs = append(errs, fmt.Errorf("repos: %q cannot be the path of a file", p))
		}
	}
	return errors.Join(errs...)
}

// cleanPath tells whether a relative path can follow a URL: without empty, . and .. parts, and of characters that need no encoding.
func cleanPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// base is the key in Arches of a version's major release. The service takes the first key that the version begins with.
func (s *Service) base(version string) string {
	best := version
	if _, ok := s.Arches[version]; ok {
		return version
	}
	major, _, _ := strings.Cut(version, ".")
	if _, ok := s.Arches[major]; ok {
		best = major
	}
	return best
}

// Repodata returns the paths of all repomd.xml files that a mirror must have, relative to its tree.
func (s *Service) Repodata() []string {
	var paths []string
	for _, v := range s.releases() {
		paths = append(paths, s.repodata(v, s.Arches[s.base(v)])...)
	}
	return paths
}

// ModuleRepodata returns the paths of all repomd.xml files of an optional module, such as "kitten", relative to its tree.
func (s *Service) ModuleRepodata(module string) []string {
	var paths []string
	for _, v := range s.Modules[module] {
		v += "-" + module
		paths = append(paths, s.repodata(v, s.Arches[v])...)
	}
	return paths
}

// releases are the versions without those that are links.
func (s *Service) releases() []string {
	return slices.DeleteFunc(slices.Clone(s.Versions), func(v string) bool {
		_, ok := s.DuplicatedVersions[v]
		return ok
	})
}

func (s *Service) repodata(version string, arches []string) []string {
	var paths []string
	for _, r := range s.Repos {
		if len(r.Versions) > 0 && !slices.Contains(r.Versions, version) {
			continue
		}
		for _, arch := range arches {
			if len(r.Arches) > 0 && !slices.Contains(r.Arches, arch) {
				continue
			}
			path := version + "/" + strings.Trim(strings.ReplaceAll(r.Path, "$basearch", arch), "/") + "/repodata/repomd.xml"
			if !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

// isoFiles are the files that each release has for each architecture in isos/ARCH.
var isoFiles = []string{
	"AlmaLinux-%s-%s-boot.iso", "AlmaLinux-%s-%s-dvd.iso", "AlmaLinux-%s-%s-minimal.iso",
	"AlmaLinux-%s-%s-boot.iso.manifest", "AlmaLinux-%s-%s-dvd.iso.manifest", "AlmaLinux-%s-%s-minimal.iso.manifest",
}

// ISOs returns the paths of the installation images and what belongs to them, relative to the tree.
func (s *Service) ISOs() []string {
	var paths []string
	for _, v := range s.releases() {
		name := v
		if strings.Contains(v, "beta") {
			name += "-1"
		}
		for _, arch := range s.Arches[s.base(v)] {
			dir := v + "/isos/" + arch + "/"
			for _, f := range isoFiles {
				paths = append(paths, dir+fmt.Sprintf(f, name, arch))
			}
			paths = append(paths, dir+"CHECKSUM")
		}
	}
	return paths
}
