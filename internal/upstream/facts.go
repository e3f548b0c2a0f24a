package upstream

import (
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// BuiltInDate is the day on which BuiltIn was AlmaLinux's config.yml.
var BuiltInDate = time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC)

// BuiltIn returns the facts of the service's config.yml that are built into this version of
// mirrorform. The caller may change them.
func BuiltIn() *Service {
	every := []string{"x86_64", "aarch64", "ppc64le", "s390x"}
	ten := []string{"x86_64", "x86_64_v2", "aarch64", "ppc64le", "s390x"}
	return &Service{
		Service:            mirrorsd.DefaultService(),
		Versions:           []string{"8", "8.10", "9", "9.8", "10", "10.2"},
		Modules:            map[string][]string{"kitten": {"10"}},
		DuplicatedVersions: map[string]string{"8": "8.10", "9": "9.8", "10": "10.2"},
		Arches:             map[string][]string{"8": every, "9": every, "10": ten, "10-kitten": ten},
		Repos: []Repo{
			{Name: "baseos", Path: "BaseOS/$basearch/os/"},
			{Name: "appstream", Path: "AppStream/$basearch/os/"},
			{Name: "powertools", Path: "PowerTools/$basearch/os/", Versions: []string{"8.10"}},
			{Name: "crb", Path: "CRB/$basearch/os/", Versions: []string{"9.8", "10.2"}},
			{Name: "nfv", Path: "NFV/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}, Arches: []string{"x86_64"}},
			{Name: "rt", Path: "RT/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}, Arches: []string{"x86_64"}},
			{Name: "extras", Path: "extras/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}},
			{Name: "extras-common", Path: "extras-common/$basearch/os/", Versions: []string{"10-kitten"}},
			{Name: "ha", Path: "HighAvailability/$basearch/os/", Versions: []string{"8.10"}},
			{Name: "highavailability", Path: "HighAvailability/$basearch/os/", Versions: []string{"9.8", "10.2"}},
			{Name: "sap", Path: "SAP/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}},
			{Name: "saphana", Path: "SAPHANA/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}},
			{
				Name: "resilientstorage", Path: "ResilientStorage/$basearch/os/",
				Versions: []string{"8.10", "9.8"}, Arches: []string{"x86_64", "ppc64le", "s390x"},
			},
			{Name: "devel", Path: "devel/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}, Arches: []string{"x86_64", "aarch64"}},
			{Name: "plus", Path: "plus/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}},
			{Name: "synergy", Path: "synergy/$basearch/os/", Versions: []string{"8.10", "9.8", "10.2"}},
			{Name: "raspberrypi", Path: "raspberrypi/$basearch/os/", Versions: []string{"8.10"}, Arches: []string{"aarch64"}},
		},
	}
}
