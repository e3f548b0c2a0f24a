package mirror

import (
	"cmp"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// part is an engine.Part. from maps its attributes to those of the mirror block that set them.
type part struct {
	engine.Part
	from   map[string]string
	advice map[string]string // by the part's attribute: what to do about a problem, if its type has no advice
}

// Expand returns the resources of a mirror block on one host, or the problems of the block. If a
// problem is an error, there are no parts. Expand is pure: the result depends only on the
// arguments. Without facts, it assumes Debian where operating systems differ. The attribute of a
// problem is its path in the block: "storage.path", "kitten.sync.every". The types in reg check
// each part; a problem of a part becomes one of the attribute that caused it.
//
// These are the names of the parts. They are in the addresses of resources, so they never change:
//
//	storage             storage      checks the size of the file system; everything else on the host depends on it
//	group, user                      the account that runs the sync; not for root
//	filesystem_package  package      mkfs; with storage.device, as the next three
//	mount_point         directory    where the device is mounted
//	filesystem          filesystem
//	mount               mount
//	tree                tree         claims the mirror's directory, so that the sync writes to no other one
//	directory           directory    the mirror's directory, unless it is the mount point
//	selinux_package     package      semanage; where SELinux is enabled, as the next one
//	selinux             selinux_context the type of the mirror's directory, and of all files in it
//	rsync               package
//	lock                file         the lock
//	lock_at_boot        file         the entry of tmpfiles.d(5) that creates the lock at boot; for a lock in /run
//	log                 file
//	logrotate_package   package
//	logrotate           logrotate    for the logs
//	sync_state          directory    for the next three
//	sync_status         file         the record of each sync
//	sync_output         file         the output of a sync that "mirrorform sync" started
//	sync_hold           file         not empty while syncs are held because one deleted too much
//	sync_program_directory  directory
//	sync_program        program      runs syncs and records their results
//	sync_settings_directory directory
//	sync_settings       file         the settings of the program for this mirror
//	sync_password       file         the password of the upstream's account; with sync.password
//	curl                package      with sync.notify.url or ping, as the next two; not on EL
//	sync_notify_url     file         the configuration of curl for the URL
//	sync_ping           file
//	sync_metrics_directory directory with sync.metrics, as the next two
//	sync_metrics_file   file
//	sync_metrics        symlink      for the node exporter
//	sync_script         file         runs the program by hand
//	cron_package        package
//	cron_service        service
//	cron                cron         the scheduled sync
//	timer_service       file         with sync.scheduler = "systemd", as the next two, instead of these three
//	timer_unit          file
//	timer               service      the scheduled sync
//	nginx               package
//	nginx_service       service
//	firewall_http       firewall     port 80; unless firewall is false, as the next ones
//	firewall_https      firewall     port 443, with web.tls
//	firewall_http3      firewall     port 443 of UDP, with web.tls.http3
//	firewall_8080_tcp   firewall     instead of these: another port, by its number and protocol
//	openssl             package      with web.tls
//	epel                package      on EL; with web.tls.acme, as the next three
//	certbot             package
//	acme_webroot        directory    from which the site answers a CA
//	certificate_timer   service
//	site                nginx_site
//	certificate         certificate  with web.tls.acme, as the next one
//	tls_site            nginx_site   the site over HTTPS, with all trees of site
//	snippets, site_snippets directory with web.site = "join", as the next one, instead of the site
//	snippet             nginx_snippet
//	certificate_reload  file         the systemd service that makes nginx load a renewed certificate
//	certificate_watch   file         the systemd path unit that starts it
//	certificate_watch_service service
//	rsync_daemon_package package     with rsync_daemon, on EL
//	rsync_motd          file         with rsync_daemon.motd
//	rsync_log           file         with rsync_daemon, as the next ones
//	rsync_logrotate     logrotate
//	rsync_module        rsync_module the module of the host's rsync daemon
//	rsync_service       service
//	firewall_rsync      firewall     port 873
//	publish             file         mirrors.d/NAME.yml, on host local
//
// With a kitten block there are also kitten_tree, kitten_directory, kitten_selinux, kitten_lock,
// kitten_lock_at_boot, kitten_log, kitten_sync_status, kitten_sync_output, kitten_sync_hold,
// kitten_sync_settings, kitten_sync_script, kitten_cron and, with rsync_daemon,
// kitten_rsync_module.
//
// With web.server = "apache", there are apache, apache_service, apache_certificate_reload and
// apache_snippets instead of those of nginx, and apache_module_NAME_load and such for the modules
// that the site needs; with "caddy", caddy and so on. Caddy needs no certbot: its tls_site gets the
// certificate.
//
// A host can have several mirrors. They share packages, services, the account, sync_program and the
// directories of its settings and records; the engine joins these parts. All others have names made
// from the block's. Each mirror has its own tree, lock and log. Mirrors with a server
// name in common share the site.
func Expand(reg *engine.Registry, name string, spec *Spec, host engine.Site) ([]engine.Part, []engine.Problem) {
	ps := &problems{}
	m := settle(name, spec, host, ps)
	if m == nil {
		return nil, ps.list
	}
	x := &expansion{mirror: m, problems: ps}
	x.all()
	x.validate(reg)
	x.dropConsequences()
	if x.failed() {
		return nil, ps.list
	}
	parts := make([]engine.Part, len(x.parts))
	for i, p := range x.parts {
		parts[i] = p.Part
	}
	return parts, ps.list
}

// expansion collects the parts of a settled mirror.
type expansion struct {
	*mirror
	*problems
	parts []part
}

// all adds all parts.
func (x *expansion) all() {
	x.storage()
	x.account()
	x.filesystem()
	x.directories()
	x.selinux()
	syncing{x}.sync()
	x.site()
	x.rsyncDaemon()
	x.publish()
}

// add adds a part. from maps attributes of the part to those of the block, such as "path" to
// "storage.path". Every part on the host depends on the check of its storage.
func (x *expansion) add(p engine.Part, from map[string]string) {
	if !p.Local && p.Name != "storage" {
		p.DependsOn = append([]string{"storage"}, p.DependsOn...)
	}
	x.parts = append(x.parts, part{Part: p, from: from})
}

// has reports whether there is a part with the name.
func (x *expansion) has(name string) bool {
	return slices.ContainsFunc(x.parts, func(p part) bool { return p.Name == name })
}

// existing returns the names that parts have.
func (x *expansion) existing(names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !x.has(n) })
}

// validate checks each part by its type. It reports only the first error of an attribute, since
// others are its consequences. So are problems without an attribute of the block, if there are any
// others.
func (x *expansion) validate(reg *engine.Registry) {
	known := map[string]bool{}
	failed := false
	for _, p := range x.list {
		known[p.Attribute] = known[p.Attribute] || p.Severity == engine.Error
		failed = failed || p.Severity == engine.Error
	}
	var unplaced []engine.Problem
	for _, p := range x.parts {
		kind := reg.Kind(p.Type)
		if kind == nil {
			unplaced = append(unplaced, engine.Errorf("", "%s: unknown resource type %q", p.Name, p.Type))
			continue
		}
		reported := map[string]bool{}
		for _, problem := range kind.Validate(p.State) {
			attribute, advice := p.from[problem.Attribute], p.advice[problem.Attribute]
			if attribute == "" {
				problem.Summary = p.Name + ": " + problem.Summary
				problem.Attribute = ""
				unplaced = append(unplaced, problem)
				continue
			}
			if known[attribute] {
				continue
			}
			reported[attribute] = true
			failed = failed || problem.Severity == engine.Error
			problem.Attribute = attribute
			problem.Detail = cmp.Or(problem.Detail, advice)
			x.list = append(x.list, problem)
		}
		for attribute := range reported {
			known[attribute] = true
		}
	}
	if !failed {
		x.list = append(x.list, unplaced...)
	}
}

// dropConsequences drops problems of the entry for mirrors.d that an invalid web.server_name has
// caused: the name and the URLs of the entry are made from it.
func (x *expansion) dropConsequences() {
	p := x.spec.Publish
	wrong := slices.ContainsFunc(x.list, func(p engine.Problem) bool {
		return p.Severity == engine.Error && p.Attribute == "web.server_name"
	})
	if p == nil || p.Name != "" || !wrong {
		return
	}
	made := map[string]bool{"publish.name": true, "publish.http": p.HTTP == nil, "publish.kitten_http": p.KittenHTTP == nil}
	x.list = slices.DeleteFunc(x.list, func(p engine.Problem) bool { return made[p.Attribute] })
}

// account adds the system account that runs the sync.
func (x *expansion) account() {
	if x.user == "root" {
		x.list = append(x.list, engine.Problem{
			Severity: engine.Warning, Attribute: "user",
			Summary: "the syncs run as root, so the upstream can send files of any owner and mode",
			Detail:  "remove user: by default, a dedicated account runs them",
		})
		return
	}
	comment := "" // not managed: mirrors of several distributions share the account
	if x.spec.AlmaLinux() {
		comment = "AlmaLinux mirror"
	}
	from := map[string]string{"name": "user", "group": "user"}
	x.add(engine.Part{
		Name: "group", Type: "group", Keep: "it is the group of user " + x.user + ", who stays",
		State: &resources.Group{Name: x.user, System: true},
	}, from)
	x.add(engine.Part{
		Name: "user", Type: "user", DependsOn: []string{"group"},
		State: &resources.User{
			Name: x.user, Group: x.user, System: true, KeepExisting: true,
			// cronie runs no jobs of a user whose home is missing. This one needs no home, so it gets /.
			Home: "/", Shell: "/usr/sbin/nologin",
			Comment: comment,
		},
	}, from)
}
