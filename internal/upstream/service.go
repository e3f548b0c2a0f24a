package upstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
	"gopkg.in/yaml.v3"
)

// Service is the configuration of AlmaLinux's mirror service, its config.yml: the part that
// determines the requests to mirrors.
type Service struct {
	// The requirements for mirrors.d files. AllowedOutdate is also the largest age of TIME.
	mirrorsd.Service
	// Versions are the release directories of the tree, including those of major releases.
	Versions []string
	// Modules are the optional trees beside almalinux, such as "kitten", with their major versions.
	// The directory of a module is VERSION-MODULE.
	Modules map[string][]string
	// DuplicatedVersions maps a major release to the release that its directory links to. The keys
	// are not requested.
	DuplicatedVersions map[string]string
	// Arches are the architectures of each major release ("10") and of each module version
	// ("10-kitten").
	Arches map[string][]string
	// Repos are the repositories, except those of the vault, which mirrors do not have.
	Repos []Repo
}

// Repo is a repository of all releases, or of those in Versions.
type Repo struct {
	Name     string
	Path     string   // below the release's directory; $basearch stands for the architecture
	Versions []string // nil: all
	Arches   []string // nil: all of the release
}

// MaxServiceSize is the largest size of a config.yml in bytes.
const MaxServiceSize = 1 << 20

// maxProbes is the largest number of files that a config.yml may request from a mirror.
const maxProbes = 5000

// text is the source text of a YAML scalar, so that an unquoted 8.10 is not read as 8.1.
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

// ParseService parses a config.yml. It ignores keys that are not needed. Missing and invalid values
// are errors.
func ParseService(data []byte) (s *Service, err error) {
	if len(data) > MaxServiceSize {
		return nil, fmt.Errorf("it has %d bytes, more than the limit of %d", len(data), MaxServiceSize)
	}
	// The file is untrusted, and yaml.v3 panics on some inputs.
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
			s.Repos = append(s.Repos, Repo{
				Name: string(r.Name), Path: string(r.Path), Versions: texts(r.Versions), Arches: texts(r.Arches),
			})
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
		errs = append(errs, fmt.Errorf("repos and versions: mirrors are asked for %d files, more than the limit of "+
			"%d", len(probes), maxProbes))
		probes = nil
	}
	for _, p := range append(probes, s.ISOs()...) {
		if !cleanPath(p) {
			errs = append(errs, fmt.Errorf("repos: %q cannot be the path of a file", p))
		}
	}
	return errors.Join(errs...)
}

// cleanPath reports whether a relative path can be appended to a URL: it has no empty, . or ..
// parts, and no characters that need encoding.
func cleanPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/") == ""
}

// base returns the key in Arches of a version's major release. The service uses the first key that
// is a prefix of the version.
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

// ModuleRepodata returns the paths of all repomd.xml files of an optional module, such as "kitten",
// relative to its tree.
func (s *Service) ModuleRepodata(module string) []string {
	var paths []string
	for _, v := range s.Modules[module] {
		v += "-" + module
		paths = append(paths, s.repodata(v, s.Arches[v])...)
	}
	return paths
}

// releases returns the versions whose directories are not links.
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

// isoFiles are the files in isos/ARCH of each release.
var isoFiles = []string{
	"AlmaLinux-%s-%s-boot.iso", "AlmaLinux-%s-%s-dvd.iso", "AlmaLinux-%s-%s-minimal.iso",
	"AlmaLinux-%s-%s-boot.iso.manifest", "AlmaLinux-%s-%s-dvd.iso.manifest", "AlmaLinux-%s-%s-minimal.iso.manifest",
}

// ISOs returns the paths of the installation images, their manifests and checksums, relative to the
// tree.
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
