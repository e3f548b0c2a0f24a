package wire

// Facts is what a host says of itself. The json names are those that configurations use: target.facts.os.name.
type Facts struct {
	Hostname  string  `json:"hostname"`   // the name that the kernel has
	MachineID string  `json:"machine_id"` // of machine-id(5)
	OS        OSFacts `json:"os"`
	Arch      string  `json:"arch"`     // amd64, arm64, ppc64le, s390x (GOARCH)
	Kernel    string  `json:"kernel"`   // the kernel's release, as uname -r prints it
	CPUs      int     `json:"cpus"`     // logical processors
	Memory    uint64  `json:"memory"`   // main memory in bytes
	UID       int     `json:"uid"`      // number of the account that the helper runs as
	Username  string  `json:"username"` // name of that account
	Systemd   bool    `json:"systemd"`  // whether systemd runs as init
	Packages  string  `json:"packages"` // the package manager: apt, dnf, or ""
}

// OSFacts is from os-release(5).
type OSFacts struct {
	ID      string   `json:"id"`      // debian, almalinux, …
	IDLike  []string `json:"id_like"` // the IDs of systems that it resembles
	Name    string   `json:"name"`    // the whole name, PRETTY_NAME: Debian GNU/Linux 12 (bookworm)
	Version string   `json:"version"` // VERSION_ID: 12
	Family  string   `json:"family"`  // debian, el, or the ID
}
