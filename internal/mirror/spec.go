// Package mirror expands a mirror block to ordinary resources. AlmaLinux's guides for mirror
// operators are its data.
package mirror

// Spec is a mirror block. Attributes that are not set get their values from the guide, or from
// other attributes.
type Spec struct {
	// Distribution is what the mirror has: almalinux or other; default: almalinux. Other needs
	// sync.upstream and, with a web block, web.location; it has no guide, kitten and publish.
	Distribution string `hcl:"distribution,optional"`
	// Guide is the edition of AlmaLinux's guide for mirror operators with the defaults: classic, of
	// October 2021, or current, of May 2025; default: classic.
	Guide string `hcl:"guide,optional"`
	// User is the account that runs the sync; default: mirror. A system account without login and a
	// group with its name are created, unless it is root.
	User string `hcl:"user,optional"`
	// SELinux is whether the trees get the type public_content_t, on hosts that are enforcing or
	// permissive; default: true.
	SELinux *bool `hcl:"selinux,optional"`
	// Firewall is whether the ports of the site and of the rsync daemon are opened, permanently and
	// now, on hosts where firewalld or ufw is active; default: true. Ports of a site that you keep are
	// yours.
	Firewall *bool `hcl:"firewall,optional"`

	Storage     Storage      `hcl:"storage,block"`
	Sync        *Sync        `hcl:"sync,block"`
	Kitten      *Kitten      `hcl:"kitten,block"`
	Web         *Web         `hcl:"web,block"`
	RsyncDaemon *RsyncDaemon `hcl:"rsync_daemon,block"`
	Publish     *Publish     `hcl:"publish,block"`
}

// Storage is where the mirror's files are.
type Storage struct {
	Path string `hcl:"path"` // absolute path of the mirror's directory
	// Claim, if it is equal to Path, claims the directory although it contains other files. The sync
	// deletes those.
	Claim string `hcl:"claim,optional"`
	// Device is a block device. A file system is created on it and mounted on MountPoint.
	Device     string `hcl:"device,optional"`
	Filesystem string `hcl:"filesystem,optional"` // xfs, ext4 or btrfs; default: xfs
	// Subvolume is the name of a Btrfs subvolume of Device, which is created if it is missing and
	// mounted on MountPoint. Its quota counts as the size.
	Subvolume string `hcl:"subvolume,optional"`
	// MountPoint is the absolute path where Device is mounted; default: Path. Without Device, a sync
	// runs only while a file system is mounted there.
	MountPoint string   `hcl:"mount_point,optional"`
	Options    []string `hcl:"options,optional"` // options of mount(8)
	// Minimum is a size such as 1.5TB. A smaller file system is an error; default: the guide's, none
	// for other distributions.
	Minimum string `hcl:"minimum,optional"`
	// Recommended is a size such as 2TB. A smaller file system is a warning; default: the guide's,
	// none for other distributions.
	Recommended string `hcl:"recommended,optional"`
}

// Sync is the scheduled sync with rsync.
type Sync struct {
	// Every is the interval of syncs, from 10m to 24h: minutes that divide the hour, or hours that
	// divide the day; default: 3h, and 15m with From and Freshness. The minute is derived from the
	// names of host and mirror.
	Every    string `hcl:"every,optional"`
	Schedule string `hcl:"schedule,optional"` // five fields of crontab(5); overrides Every
	// Scheduler is what starts the syncs: cron, or systemd, by a timer; default: cron. A timer runs
	// what it missed while the host was off.
	Scheduler string `hcl:"scheduler,optional"`
	// Upstream is the rsync:// URL of the module, with a slash at the end; default: AlmaLinux's.
	// Required for other distributions. In a list, the next one is used while one refuses or is
	// behind the tree.
	Upstream []string `hcl:"upstream,optional" one:"true"`
	// From is a host of this configuration whose rsync_daemon block serves the tree, the hub, instead
	// of Upstream; or a list of such hosts, of which the next one is used as with Upstream. This
	// mirror is then a leaf: an apply changes its hub first.
	From []string `hcl:"from,optional" hosts:"true" hint:"For another server, set upstream to its rsync:// URL."`
	// Module is the name of the hub's rsync module; default: that of its AlmaLinux mirror, and the
	// block's name for other distributions.
	Module string `hcl:"module,optional"`
	// Password is the password of the account in Upstream, as in rsync://ACCOUNT@HOST/MODULE/. It may
	// be sensitive. rsync reads it from a file that only the mirror's account can read.
	Password string `hcl:"password,optional" secret:"true"`
	// Proxy is HOST:PORT of an HTTP proxy that rsync connects through, or ACCOUNT@HOST:PORT.
	Proxy string `hcl:"proxy,optional"`
	// ProxyPassword is the password of the account in Proxy. It may be sensitive.
	ProxyPassword string `hcl:"proxy_password,optional" secret:"true"`

	Flags   []string `hcl:"flags,optional"`   // options of rsync that replace the guide's
	Options []string `hcl:"options,optional"` // options of rsync, added to the flags
	Exclude []string `hcl:"exclude,optional"` // patterns for rsync's --exclude
	// Bandwidth is a rate for rsync's --bwlimit, such as 10m, 2.5m or 800k; or a map from times of the
	// day, such as 08:00-20:00, to the rates of syncs that begin then.
	Bandwidth map[string]string `hcl:"bandwidth,optional" one:"true"`
	// MaxDelete is how many files a sync may delete; default: 200000. Once a sync has reached the
	// limit, further ones are held until you run `mirrorform sync --allow-deletions`.
	MaxDelete *int `hcl:"max_delete,optional"`
	// MaxDeletePercent is the share of the tree's files that a sync may delete; default: 50. A sync
	// that would delete more does not start. 100 disables the check, which is a dry run of rsync.
	MaxDeletePercent *int `hcl:"max_delete_percent,optional"`
	// Lock is the absolute path of the file that flock(1) locks; default: the guide's,
	// /run/NAME_rsync.lock for other distributions.
	Lock string `hcl:"lock,optional"`
	// Freshness is the name of a file that the upstream's root must have, or nothing is synced;
	// default: TIME, none for other distributions. If it is set, or with From, a scheduled sync asks
	// nothing more while the file is that of the last complete sync. "" disables both.
	Freshness *string `hcl:"freshness,optional"`
	// Safe is whether a sync creates no links that lead out of the tree, sets no set-user-ID or
	// set-group-ID, and passes max_delete to rsync; default: true.
	Safe *bool `hcl:"safe,optional"`
	// Log is the absolute path of a file to which output is appended; default:
	// /var/log/mirrorform-NAME.log. "" leaves the output to cron.
	Log *string `hcl:"log,optional"`
	// Nice is the priority of rsync by nice(1), from 1 to 19, the lowest; default: the host's.
	Nice *int `hcl:"nice,optional"`
	// IOClass is the priority of rsync's disk access by ionice(1): idle, or best-effort with the
	// lowest level; default: the host's.
	IOClass string `hcl:"io_class,optional"`
	// TimeLimit is after how long a sync is ended, such as 90m or 8h. The next one continues; default:
	// never.
	TimeLimit string `hcl:"time_limit,optional"`
	// Metrics is the absolute path of a file for the textfile collector of the Prometheus node
	// exporter, which each sync writes. Its name ends with .prom.
	Metrics string `hcl:"metrics,optional"`

	Notify *Notify `hcl:"notify,block"`
}

// Notify reports once when syncs begin to fail, and once when they work again.
type Notify struct {
	// OnFailure is a program of the host, by its absolute path, with its arguments. It runs as the
	// mirror's account, with the facts in its environment and the message on its standard input.
	OnFailure []string `hcl:"on_failure,optional"`
	Mail      string   `hcl:"mail,optional"` // an address; the host's sendmail(8) sends the message
	// URL is a URL to which the facts are posted as JSON. It may be sensitive.
	URL string `hcl:"url,optional" secret:"true"`
	// Ping is a URL that is requested after each successful sync, for a service that raises an alarm
	// when these stop. It may be sensitive.
	Ping string `hcl:"ping,optional" secret:"true"`
}

// Kitten mirrors AlmaLinux Kitten beside AlmaLinux, with its own module, directory, lock and cron
// entry.
type Kitten struct {
	Path  string `hcl:"path"`           // absolute path of Kitten's directory, neither in the mirror's nor above it
	Claim string `hcl:"claim,optional"` // as storage.claim, for Kitten's directory
	// Location is the URL path of Kitten's tree; default: that of the mirror with -kitten, such as
	// /almalinux-kitten/.
	Location string `hcl:"location,optional"`
	// Sync overrides attributes of the mirror's sync block for Kitten. Upstream, lock and log are
	// always Kitten's own, except a log that is "".
	Sync *Sync `hcl:"sync,block"`
}

// Web is the web server's site. Mirror blocks of one host with the same server_name and port have
// one site: each adds its trees, and what only one of them sets is set for all.
type Web struct {
	// Server is nginx, apache, caddy or none; default: nginx. For other distributions, a mirror
	// without a web block has no web server.
	Server        string   `hcl:"server,optional"`
	ServerName    string   `hcl:"server_name,optional"`    // the mirror's name in DNS
	ServerAliases []string `hcl:"server_aliases,optional"` // other names
	// Site is join to add the tree to a site that you keep, which has ServerName. Attributes of the
	// site are yours then. By default, mirrorform makes a site.
	Site string `hcl:"site,optional"`
	// Default is whether the site answers for the host's address; by default, if nothing else on the
	// host does.
	Default *bool `hcl:"default,optional"`
	Port    *int  `hcl:"port,optional"` // TCP port; default: 80
	// Location is the URL path of the tree; default: /almalinux/. Required for other distributions.
	Location string `hcl:"location,optional"`
	IPv6     *bool  `hcl:"ipv6,optional"` // whether the site also listens on [::]; default: whether the host has IPv6
	// HTTP is what the site does on its port if it has a tls block: serve, redirect to HTTPS, or
	// off; default: serve. With an acme block, it serves until HTTPS is served, and answers the CA
	// after that.
	HTTP    string            `hcl:"http,optional"`
	Headers map[string]string `hcl:"headers,optional"` // headers of every response
	// Cache is whether responses say how long they may be cached: packages for a year, files that list
	// what is new only with a check; default: true.
	Cache    *bool `hcl:"cache,optional"`
	Compress *bool `hcl:"compress,optional"` // whether text is compressed with gzip; default: true
	// Page is the absolute path of the HTML file at /; default: trees, which is a list of the trees.
	// "" disables it.
	Page *string `hcl:"page,optional"`
	// Header and Footer are absolute paths of HTML files before and after each listing.
	Header string `hcl:"header,optional"`
	Footer string `hcl:"footer,optional"`
	// Listing is the absolute path of a template for listings: an XSLT stylesheet for nginx, a
	// template of file_server for Caddy. Apache has none.
	Listing string `hcl:"listing,optional"`
	Robots  string `hcl:"robots,optional"` // the text of /robots.txt
	Health  string `hcl:"health,optional"` // URL path that answers "ok", for monitoring
	// Redirects maps URL paths to the URLs or URL paths that they redirect to. A path that ends with
	// /* stands for all below it; what follows it is added to the URL.
	Redirects map[string]string `hcl:"redirects,optional"`
	Extra     string            `hcl:"extra,optional"` // further directives of the server, for the site's block

	TLS    *TLS    `hcl:"tls,block"`
	Log    *Log    `hcl:"log,block"`
	Limits *Limits `hcl:"limits,block"`
}

// TLS makes the site serve HTTPS, with a certificate that something else keeps on the host or that
// certbot, or Caddy itself, gets from a CA. The server loads it again whenever it changes.
type TLS struct {
	// Certificate is the absolute path of a PEM file with the certificate and its chain.
	Certificate string `hcl:"certificate,optional"`
	Key         string `hcl:"key,optional"`   // absolute path of the certificate's private key
	Port        *int   `hcl:"port,optional"`  // TCP port; default: 443
	HTTP2       *bool  `hcl:"http2,optional"` // whether HTTP/2 is offered; default: true
	// HTTP3 is whether HTTP/3 is offered, which needs nginx 1.25; default: false. Caddy always offers
	// it, and Apache cannot.
	HTTP3 *bool `hcl:"http3,optional"`

	ACME *ACME `hcl:"acme,block"`
}

// ACME gets the certificate of server_name and server_aliases from a CA such as Let's Encrypt, by
// certbot, and has it renewed by the timer of certbot's package. Caddy does both itself.
type ACME struct {
	Email     string `hcl:"email,optional"`     // where the CA may write to
	Directory string `hcl:"directory,optional"` // URL of the CA's ACME directory; default: Let's Encrypt's
	Staging   *bool  `hcl:"staging,optional"`   // whether to get a test certificate from Let's Encrypt, which clients do not trust
	KeyType   string `hcl:"key_type,optional"`  // ecdsa or rsa; default: certbot's. Not with Caddy
}

// Log is the access log of the site.
type Log struct {
	Path string `hcl:"path,optional"` // absolute path; default: that of the server, and none with Caddy
	// Format is the line of a request, in the server's syntax; default: combined. Caddy has only JSON.
	Format string `hcl:"format,optional"`
	Off    *bool  `hcl:"off,optional"` // whether it is off
	// Anonymize is whether the log has only the network of a client: a /24 of IPv4, a /48 of IPv6.
	Anonymize *bool `hcl:"anonymize,optional"`
}

// Limits are limits for each client.
type Limits struct {
	Connections *int   `hcl:"connections,optional"` // requests of one address that are served at a time
	Rate        string `hcl:"rate,optional"`        // bytes per second of a connection, such as 500k or 20m
}

// RsyncDaemon serves the trees by the host's rsync daemon on port 873, read-only. Mirrors of one
// host share the daemon, and its other modules stay.
type RsyncDaemon struct {
	// Module is the name of the module; default: almalinux, and the block's name for other
	// distributions. Kitten's module is named like it, with -kitten.
	Module  string `hcl:"module,optional"`
	Comment string `hcl:"comment,optional"` // what the daemon's list says about it; default: AlmaLinux
	// MaxConnections is how many clients each module serves at a time.
	MaxConnections *int     `hcl:"max_connections,optional"`
	MOTD           string   `hcl:"motd,optional"`    // the text that every client of the daemon gets first
	Exclude        []string `hcl:"exclude,optional"` // patterns of files that are not served
	// HostsAllow and HostsDeny are addresses, networks and names of clients, as in rsyncd.conf(5).
	// With HostsAllow, all others are refused, except the host itself.
	HostsAllow []string `hcl:"hosts_allow,optional"`
	HostsDeny  []string `hcl:"hosts_deny,optional"`
	// RefuseOptions are options of clients that the daemon refuses, without hyphens: checksum.
	RefuseOptions []string `hcl:"refuse_options,optional"`
	UID           string   `hcl:"uid,optional"` // user that reads the files; default: nobody
	// GID is the group that reads the files; default: nogroup or nobody, whichever the host has.
	GID    string `hcl:"gid,optional"`
	Chroot *bool  `hcl:"chroot,optional"` // whether the daemon confines itself to the tree; default: true
	// HubAddress is the address or the name at which the leaves of this hub reach the daemon, see
	// sync.from; default: the host's address.
	HubAddress string `hcl:"hub_address,optional"`
	// Log is the absolute path of the log of connections and sent files; default:
	// /var/log/rsyncd-NAME.log. "" leaves it to the system's log.
	Log *string `hcl:"log,optional"`
}

// AlmaLinux reports whether the mirror has AlmaLinux, and not another distribution.
func (s *Spec) AlmaLinux() bool { return s.Distribution != otherDistribution }

// The values of distribution.
const (
	almaLinux         = "almalinux"
	otherDistribution = "other"
)

// Publish is the mirror's entry for AlmaLinux's mirrors.d. It is written on the machine that runs
// mirrorform.
type Publish struct {
	// Directory is where the file is written; default: mirrors.d beside the configuration.
	Directory string `hcl:"directory,optional"`
	// Name is the mirror's name in DNS, and the name of the file; default: web.server_name.
	Name string `hcl:"name,optional"`
	// HTTP is the URL of the tree; by default, it is made from the name and web.location, unless HTTP
	// is redirected or off. "" omits it.
	HTTP *string `hcl:"http,optional"`
	// HTTPS is the URL of the tree; by default, it is made like http, if there is a tls block. ""
	// omits it. Set it if another server serves the tree.
	HTTPS *string `hcl:"https,optional"`
	// Rsync is the URL of the tree; by default, it is made from the name, if there is an rsync_daemon
	// block. "" omits it.
	Rsync *string `hcl:"rsync,optional"`
	FTP   *string `hcl:"ftp,optional"` // URL of the tree, if another server serves it
	// KittenHTTP is the URL of Kitten's tree; by default, it is made like http, if there is a kitten
	// block. "" omits it.
	KittenHTTP  *string `hcl:"kitten_http,optional"`
	KittenHTTPS *string `hcl:"kitten_https,optional"` // URL of Kitten's tree; by default, it is made like https
	KittenRsync *string `hcl:"kitten_rsync,optional"` // URL of Kitten's tree; by default, it is made like rsync
	// UpdateFrequency is the time between two syncs, such as 3h; default: sync.every.
	UpdateFrequency string       `hcl:"update_frequency,optional"`
	Sponsor         string       `hcl:"sponsor"`                // who pays for the mirror
	SponsorURL      string       `hcl:"sponsor_url"`            // the sponsor's home page
	Email           string       `hcl:"email,optional"`         // contact for AlmaLinux; the plan warns if it is not set
	Geolocation     *Geolocation `hcl:"geolocation,optional"`   // location of the mirror
	ASN             []int        `hcl:"asn,optional"`           // autonomous systems whose clients should use it
	Subnets         []string     `hcl:"subnets,optional"`       // networks, in CIDR notation, whose clients should use it
	SubnetsURL      string       `hcl:"subnets_url,optional"`   // URL of a list of such networks
	Private         *bool        `hcl:"private,optional"`       // whether only clients in subnets and asn get it
	Monopoly        *bool        `hcl:"monopoly,optional"`      // whether those clients get no other mirror; needs Private
	CloudType       string       `hcl:"cloud_type,optional"`    // cloud whose machines should use it: aws, azure, gcp
	CloudRegions    []string     `hcl:"cloud_regions,optional"` // regions of that cloud
}

// Geolocation is the location of the mirror.
type Geolocation struct {
	Country       string `hcl:"country,optional"`        // ISO 3166-1 alpha-2 code, such as DE
	StateProvince string `hcl:"state_province,optional"` // state or province
	City          string `hcl:"city,optional"`           // city, as in GeoIP databases
}
