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
	Path        string   `hcl:"path"`                 // the mirror's directory, absolute
	Claim       string   `hcl:"claim,optional"`       // the same as Path: the mirror may have that directory although something else lies in it, which a sync deletes
	Device      string   `hcl:"device,optional"`      // a block device: a file system is made on it and mounted on MountPoint
	Filesystem  string   `hcl:"filesystem,optional"`  // xfs (the default) or ext4
	MountPoint  string   `hcl:"mount_point,optional"` // where Device is mounted; Path by default. Set without Device, it must be mounted for a sync to run
	Options     []string `hcl:"options,optional"`     // options of mount(8)
	Minimum     string   `hcl:"minimum,optional"`     // a size, as 1.5TB: a smaller file system is refused; the guide's by default
	Recommended string   `hcl:"recommended,optional"` // a size: of a smaller one the plan warns; the guide's by default
}

// Sync is the rsync job.
type Sync struct {
	Every     string   `hcl:"every,optional"`     // 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h; the minute comes from the names of host and mirror; 3h by default
	Schedule  string   `hcl:"schedule,optional"`  // five crontab fields; overrides Every
	Upstream  string   `hcl:"upstream,optional"`  // rsync:// URL of the module, with a slash at the end; AlmaLinux's own by default
	Flags     []string `hcl:"flags,optional"`     // rsync's flags in place of the guide's
	Options   []string `hcl:"options,optional"`   // rsync options added to the flags
	Exclude   []string `hcl:"exclude,optional"`   // patterns, each an --exclude
	Bandwidth string   `hcl:"bandwidth,optional"` // rsync's --bwlimit: 10m, 2.5m, 800k
	// MaxDelete is how many files a sync may delete: 200000 by default. When it has, later ones are
	// held until `mirrorform sync --allow-deletions`.
	MaxDelete *int `hcl:"max_delete,optional"`
	// MaxDeletePercent is which share of the tree's files a sync may delete, else it is not begun:
	// 50 by default; with 100, rsync is not asked beforehand.
	MaxDeletePercent *int    `hcl:"max_delete_percent,optional"`
	Lock             string  `hcl:"lock,optional"`      // the file that flock(1) locks; the guide's by default
	Freshness        *string `hcl:"freshness,optional"` // a file that upstream's root must have, or nothing is synced: TIME by default; "" asks for none
	Safe             *bool   `hcl:"safe,optional"`      // true by default: links that lead out of the tree are not made, nothing is set-id, and max_delete is in the command
	Log              *string `hcl:"log,optional"`       // file that the job's output is added to: /var/log/mirrorform-NAME.log by default; "" leaves it to cron
}

// Kitten mirrors AlmaLinux Kitten beside AlmaLinux: another module, directory, lock and cron entry.
type Kitten struct {
	Path     string `hcl:"path"`              // Kitten's directory, absolute: neither in the mirror's nor above it
	Claim    string `hcl:"claim,optional"`    // the same as Path, as storage.claim
	Location string `hcl:"location,optional"` // URL path of its tree: the mirror's with -kitten by default, /almalinux-kitten/
	// Sync has what differs from the mirror's own sync block. What is not set there is taken from that block, but for
	// upstream, lock and log, which are Kitten's own; a log that is "" holds for both.
	Sync *Sync `hcl:"sync,block"`
}

// Web is the web server's site.
type Web struct {
	Server        string   `hcl:"server,optional"`         // nginx (the default) or none
	ServerName    string   `hcl:"server_name,optional"`    // the mirror's name in DNS
	ServerAliases []string `hcl:"server_aliases,optional"` // more names
	Default       *bool    `hcl:"default,optional"`        // whether the site answers for the host's address: by default where nothing else on the host does
	Port          *int     `hcl:"port,optional"`           // TCP port: 80 by default
	Location      string   `hcl:"location,optional"`       // URL path of the tree: /almalinux/ by default
	IPv6          *bool    `hcl:"ipv6,optional"`           // whether nginx listens on [::], too: true by default; false where hosts have IPv4 alone
}

// Publish is the mirror's entry in AlmaLinux's mirrors.d. It is written on the machine that runs mirrorform.
type Publish struct {
	Directory       string       `hcl:"directory,optional"`        // where the file is written: mirrors.d beside the configuration by default
	Name            string       `hcl:"name,optional"`             // the mirror's name in DNS, and the file's: web.server_name by default
	HTTP            *string      `hcl:"http,optional"`             // URL of the tree: made from the name and web.location by default; "" leaves it out
	HTTPS           *string      `hcl:"https,optional"`            // URL of the tree, where something else serves it
	Rsync           *string      `hcl:"rsync,optional"`            // URL of the tree, where something else serves it
	FTP             *string      `hcl:"ftp,optional"`              // URL of the tree, where something else serves it
	KittenHTTP      *string      `hcl:"kitten_http,optional"`      // URL of Kitten's tree: made as http is, with a kitten block; "" leaves it out
	KittenHTTPS     *string      `hcl:"kitten_https,optional"`     // URL of Kitten's tree, where something else serves it
	KittenRsync     *string      `hcl:"kitten_rsync,optional"`     // URL of Kitten's tree, where something else serves it
	UpdateFrequency string       `hcl:"update_frequency,optional"` // time between two syncs, as 3h: sync.every by default
	Sponsor         string       `hcl:"sponsor"`                   // who pays for the mirror
	SponsorURL      string       `hcl:"sponsor_url"`               // the sponsor's home page
	Email           string       `hcl:"email,optional"`            // how AlmaLinux reaches you; without it the plan warns
	Geolocation     *Geolocation `hcl:"geolocation,optional"`      // where the mirror stands
	ASN             []int        `hcl:"asn,optional"`              // autonomous systems whose clients use it
	Subnets         []string     `hcl:"subnets,optional"`          // networks whose clients use it, in CIDR notation
	SubnetsURL      string       `hcl:"subnets_url,optional"`      // where such a list of networks is published
	Private         *bool        `hcl:"private,optional"`          // only clients of its subnets and asn are sent to it
	Monopoly        *bool        `hcl:"monopoly,optional"`         // these clients are sent to no other mirror; needs Private
	CloudType       string       `hcl:"cloud_type,optional"`       // the cloud whose machines use it: aws, azure, gcp
	CloudRegions    []string     `hcl:"cloud_regions,optional"`    // regions of that cloud
}

// Geolocation is where the mirror stands.
type Geolocation struct {
	Country       string `hcl:"country,optional"`        // ISO 3166-1 alpha-2 code, as DE
	StateProvince string `hcl:"state_province,optional"` // state or province
	City          string `hcl:"city,optional"`           // city, as GeoIP data should have it, too
}
