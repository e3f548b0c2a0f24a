package wire

// Facts are the facts of a host. Configurations use the JSON names: target.facts.os.name.
type Facts struct {
	Hostname  string  `json:"hostname"`   // the kernel's host name
	MachineID string  `json:"machine_id"` // the machine ID, see machine-id(5)
	OS        OSFacts `json:"os"`
	Arch      string  `json:"arch"`     // amd64, arm64, ppc64le, s390x (GOARCH)
	Kernel    string  `json:"kernel"`   // the kernel release, as uname -r prints it
	CPUs      int     `json:"cpus"`     // logical processors
	Memory    uint64  `json:"memory"`   // main memory in bytes
	UID       int     `json:"uid"`      // user ID of the account that the helper runs as
	Username  string  `json:"username"` // name of that account
	Systemd   bool    `json:"systemd"`  // whether systemd is the init system
	Packages  string  `json:"packages"` // the package manager: apt, dnf, or ""
	IPv6      bool    `json:"ipv6"`     // whether the loopback interface has IPv6
	SELinux   string  `json:"selinux"`  // the mode of getenforce(8): enforcing, permissive, or "" where it is off
	// SELinuxPolicy is the name in selinux_config(5): targeted, default, or "" without a policy.
	SELinuxPolicy string `json:"selinux_policy"`
}

// OSFacts are facts from os-release(5).
type OSFacts struct {
	ID      string   `json:"id"`      // debian, almalinux, …
	IDLike  []string `json:"id_like"` // IDs of similar systems
	Name    string   `json:"name"`    // the full name, PRETTY_NAME: Debian GNU/Linux 12 (bookworm)
	Version string   `json:"version"` // VERSION_ID: 12
	Family  string   `json:"family"`  // debian, el, or the ID
}
