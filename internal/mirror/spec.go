// Package mirror says what a mirror block means: which ordinary resources it expands to, with the operators' guides as data.
package mirror

// Spec is a mirror block. Attributes that are not set take their value from the guide, or from what other attributes say.
type Spec struct {
	// Guide is the edition of AlmaLinux's operators' guide that gives the defaults: "classic" (the default) or "current".
	Guide string `hcl:"guide,optional"`
	// User is the account that the sync runs as: "mirror" by default. A system account of that name is made, with a group of
	// its own and no login; "root" makes none.
	User string `hcl:"user,optional"`

	Storage Storage  `hcl:"storage,block"`
	Sync    *Sync    `hcl:"sync,block"`
	Kitten  *Kitten  `hcl:"kitten,block"`
	Web     *Web     `hcl:"web,block"`
	Publish *Publish `hcl:"publish,block"`
}

// Storage is where the mirror's files lie.
type Storage struct {
	Path        string   `hcl:"path"`                 // the mirror's directory
	Device      string   `hcl:"device,optional"`      // a block device: a file system is made on it and mounted on MountPoint
	Filesystem  string   `hcl:"filesystem,optional"`  // xfs (the default) or ext4
	MountPoint  string   `hcl:"mount_point,optional"` // where Device is mounted; Path by default. Set without Device, it must be mounted for a sync to run
	Options     []string `hcl:"options,optional"`     // mount options
	Minimum     string   `hcl:"minimum,optional"`     // size of the file system below which the plan is refused
	Recommended string   `hcl:"recommended,optional"` // size below which the plan warns
}

// Sync is the rsync job.
type Sync struct {
	Every     string   `hcl:"every,optional"`     // 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h; the minute comes from the host's name
	Schedule  string   `hcl:"schedule,optional"`  // five crontab fields; overrides Every
	Upstream  string   `hcl:"upstream,optional"`  // rsync:// URL of the module
	Flags     []string `hcl:"flags,optional"`     // rsync's flags in place of the guide's
	Options   []string `hcl:"options,optional"`   // rsync options added to the flags
	Exclude   []string `hcl:"exclude,optional"`   // patterns, each an --exclude
	Bandwidth string   `hcl:"bandwidth,optional"` // rsync's --bwlimit: 10m, 2.5m, 800k
	Lock      string   `hcl:"lock,optional"`      // lock file
	Log       *string  `hcl:"log,optional"`       // file that the job's output is added to; "" leaves it to cron
}

// Kitten mirrors AlmaLinux Kitten beside AlmaLinux: another module, directory, lock and cron entry.
type Kitten struct {
	Path     string `hcl:"path"`
	Location string `hcl:"location,optional"` // URL path of its tree: the mirror's own with -kitten, /almalinux-kitten/
	// Sync has what differs from the mirror's own sync block. What is not set there is taken from that block, but for
	// upstream, lock and log, which are Kitten's own; a log that is "" holds for both.
	Sync *Sync `hcl:"sync,block"`
}

// Web is the web server's site.
type Web struct {
	Server        string   `hcl:"server,optional"`         // nginx (the default) or none
	ServerName    string   `hcl:"server_name,optional"`    // the mirror's name in DNS
	ServerAliases []string `hcl:"server_aliases,optional"` // more names; the host's address is always one
	Port          *int     `hcl:"port,optional"`           // 80
	Location      string   `hcl:"location,optional"`       // URL path of the tree: /almalinux/
	IPv6          *bool    `hcl:"ipv6,optional"`           // listen on IPv6 too: true
}

// Publish is the mirror's entry in AlmaLinux's mirrors.d. It is written on the machine that runs mirrorform.
type Publish struct {
	Directory       string       `hcl:"directory,optional"` // mirrors.d beside the configuration
	Name            string       `hcl:"name,optional"`      // the web server's name by default
	HTTP            *string      `hcl:"http,optional"`      // made from the name by default; "" leaves it out
	HTTPS           *string      `hcl:"https,optional"`
	Rsync           *string      `hcl:"rsync,optional"`
	FTP             *string      `hcl:"ftp,optional"`
	KittenHTTP      *string      `hcl:"kitten_http,optional"` // made from the name where a kitten block is there
	KittenHTTPS     *string      `hcl:"kitten_https,optional"`
	KittenRsync     *string      `hcl:"kitten_rsync,optional"`
	UpdateFrequency string       `hcl:"update_frequency,optional"` // the sync's every by default
	Sponsor         string       `hcl:"sponsor"`
	SponsorURL      string       `hcl:"sponsor_url"`
	Email           string       `hcl:"email,optional"`
	Geolocation     *Geolocation `hcl:"geolocation,optional"`
	ASN             []int        `hcl:"asn,optional"`
	Subnets         []string     `hcl:"subnets,optional"`
	SubnetsURL      string       `hcl:"subnets_url,optional"`
	Private         *bool        `hcl:"private,optional"`
	Monopoly        *bool        `hcl:"monopoly,optional"`
	CloudType       string       `hcl:"cloud_type,optional"`
	CloudRegions    []string     `hcl:"cloud_regions,optional"`
}

// Geolocation is where the mirror stands.
type Geolocation struct {
	Country       string `hcl:"country,optional"` // ISO 3166-1 alpha-2
	StateProvince string `hcl:"state_province,optional"`
	City          string `hcl:"city,optional"`
}
