package wire

// Facts is what a host says of itself. The json names are those that configurations use: target.facts.os.name.
type Facts struct {
	Hostname  string  `json:"hostname"`
	MachineID string  `json:"machine_id"` // machine-id(5)
	OS        OSFacts `json:"os"`
	Arch      string  `json:"arch"`     // GOARCH: amd64, arm64, ppc64le, s390x
	Kernel    string  `json:"kernel"`   // release
	CPUs      int     `json:"cpus"`     // logical processors
	Memory    uint64  `json:"memory"`   // bytes
	UID       int     `json:"uid"`      // of the helper's process
	Username  string  `json:"username"` // of the helper's process
	Systemd   bool    `json:"systemd"`  // systemd runs as init
	Packages  string  `json:"packages"` // the package manager: apt, dnf, or ""
}

// OSFacts is from os-release(5).
type OSFacts struct {
	ID      string   `json:"id"`
	IDLike  []string `json:"id_like"`
	Name    string   `json:"name"` // PRETTY_NAME
	Version string   `json:"version"`
	Family  string   `json:"family"` // debian, el, or the ID
}
