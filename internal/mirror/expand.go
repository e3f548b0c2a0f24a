package mirror

import (
	"cmp"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// part is an engine.Part with the attribute of the mirror block that each of its own attributes
// comes from.
type part struct {
	engine.Part
	from   map[string]string
	advice map[string]string // by the part's attribute: what to do about a problem, where its type does not say
}

// Expand returns the resources that a mirror block expands to on one host, or what is wrong with the block. It reads
// nothing but its arguments, which it leaves as they are; it works with zero facts, too, where what differs between
// operating systems is as on Debian. Any problem that is an error leaves no parts. A problem's Attribute is the path of an
// attribute of the block, with dots: "storage.path", "kitten.sync.every". reg checks each part; problems of a part are
// told as problems of the attribute that they come from.
//
// These are the names of the parts. Each is the last part of an address that people use, so none ever changes:
//
//	storage             storage      the check of the file system's size; everything else on the host depends on it
//	group, user                      the account that the sync runs as; not for root
//	filesystem_package  package      what makes the file system; with storage.device, as the next three
//	mount_point         directory    where the device is mounted
//	filesystem          filesystem
//	mount               mount
//	tree                tree         the claim to the mirror's directory: nothing else lies there; the sync fills no other one
//	directory           directory    the mirror's; not where it is itself the mount point
//	rsync               package
//	lock                file         the lock
//	lock_at_boot        file         the tmpfiles.d(5) entry by which the lock is there after a reboot; for a lock in /run
//	log                 file
//	logrotate_package   package
//	logrotate           logrotate    for the logs
//	sync_state          directory    where the next ones are
//	sync_status         file         the record of each sync
//	sync_output         file         the output of a sync that was started from afar
//	sync_hold           file         is not empty while syncs are held, since one deleted too much
//	sync_program_directory  directory
//	sync_program        program      runs syncs, and records how they went
//	sync_settings_directory directory
//	sync_settings       file         what the program knows of the mirror
//	sync_script         file         runs the program by hand
//	cron_package        package
//	cron_service        service
//	cron                cron         the scheduled sync
//	nginx               package
//	nginx_service       service
//	site                nginx_site
//	publish             file         mirrors.d/NAME.yml, on host local
//
// With a kitten block there are also kitten_tree, kitten_directory, kitten_lock,
// kitten_lock_at_boot, kitten_log, kitten_sync_status, kitten_sync_output, kitten_sync_hold,
// kitten_sync_settings, kitten_sync_script and kitten_cron.
//
// One host has one mirror: two of them would both make its packages and services, which is an
// error.
//
// Two things of EL hosts are not done by any part: where SELinux enforces, a tree outside /var/www
// needs the file context httpd_sys_content_t (semanage-fcontext(8)) before nginx may read it, and
// firewalld has to let HTTP in.
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

// expansion makes the parts of a settled mirror.
type expansion struct {
	*mirror
	*problems
	parts []part
}

// all makes all parts.
func (x *expansion) all() {
	x.storage()
	x.account()
	x.filesystem()
	x.directories()
	x.sync()
	x.site()
	x.publish()
}

// add adds a part. from maps attributes of the part to those of the block: "path" to "storage.path". Every part on the
// host depends on the storage check.
func (x *expansion) add(p engine.Part, from map[string]string) {
	if !p.Local && p.Name != "storage" {
		p.DependsOn = append([]string{"storage"}, p.DependsOn...)
	}
	x.parts = append(x.parts, part{Part: p, from: from})
}

// has tells whether there is a part of that name.
func (x *expansion) has(name string) bool {
	return slices.ContainsFunc(x.parts, func(p part) bool { return p.Name == name })
}

// existing are those of the named parts that there are.
func (x *expansion) existing(names ...string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !x.has(n) })
}

// validate lets each part's type check it. Of an attribute that has a problem already, further ones are only consequences; so
// are problems that no attribute of the block accounts for, once there is any other.
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
			unplaced = append(unplaced, engine.Errorf("", "there is no resource type %q, which %s is of", p.Type, p.Name))
			continue
		}
		told := map[string]bool{}
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
			told[attribute] = true
			failed = failed || problem.Severity == engine.Error
			problem.Attribute = attribute
			problem.Detail = cmp.Or(problem.Detail, advice)
			x.list = append(x.list, problem)
		}
		for attribute := range told {
			known[attribute] = true
		}
	}
	if !failed {
		x.list = append(x.list, unplaced...)
	}
}

// dropConsequences drops what is wrong with the entry in AlmaLinux's list because web.server_name,
// from which its name and URLs are made, is wrong itself.
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

// account makes the system account that the sync runs as.
func (x *expansion) account() {
	if x.user == "root" {
		x.list = append(x.list, engine.Problem{
			Severity: engine.Warning, Attribute: "user", Summary: "the syncs run as root, who writes whatever the upstream sends",
			Detail: "leave user out, and an account of its own is made for them",
		})
		return
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
			// cronie runs no job of a user whose home is missing, and this one needs none of its own.
			Home: "/", Shell: "/usr/sbin/nologin",
			Comment: "AlmaLinux mirror",
		},
	}, from)
}
