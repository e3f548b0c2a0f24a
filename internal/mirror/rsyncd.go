package mirror

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/resources"
)

// rsyncMOTD is the text that every client of the host's rsync daemon gets first.
const rsyncMOTD = "/etc/rsyncd.mirrorform.motd"

// rsyncModule returns the name of the job's module, or "" without an rsync daemon.
func (m *mirror) rsyncModule(j *job) string { return moduleOf(m.spec, m.name, j.prefix != "") }

// moduleOf returns the name of the module of a mirror's tree, or "" without an rsync daemon.
// Kitten's is named like that of AlmaLinux's own server.
func moduleOf(spec *Spec, label string, kitten bool) string {
	d := spec.RsyncDaemon
	if d == nil {
		return ""
	}
	name := d.Module
	if name == "" && spec.AlmaLinux() {
		name = almaLinux
	}
	name = cmp.Or(name, label)
	if kitten {
		name += kittenSuffix
	}
	return name
}

// kittenSuffix is what Kitten's names have in addition to those of AlmaLinux.
const kittenSuffix = "-kitten"

// rsyncLog returns the path of the log of all modules, or "" for the system's log. SELinux's policy
// lets the daemon write to files with names like it.
func (m *mirror) rsyncLog() string {
	if set := m.spec.RsyncDaemon.Log; set != nil {
		return *set
	}
	return "/var/log/rsyncd-" + m.name + ".log"
}

// checkRsyncDaemon checks what the types of the parts do not.
func (x *settling) checkRsyncDaemon() {
	if x.spec.RsyncDaemon == nil {
		return
	}
	x.checkLeaves()
	const attribute = "rsync_daemon.log"
	switch file := x.rsyncLog(); {
	case file == "":
	case !safePath.MatchString(file) || path.Clean(file) != file:
		x.errorf(attribute, "use an absolute path of letters, digits and . _ + - @", "invalid path %q for a log", file)
	case slices.ContainsFunc(x.jobs, func(j *job) bool { return x.inTree(j, file) }):
		x.errorf(attribute, "a sync would delete it, and clients could read it: use a file in /var/log",
			"%s is in the mirrored tree", file)
	case slices.ContainsFunc(x.jobs, func(j *job) bool { return j.log == file }):
		x.errorf(attribute, "use a different log for each", "a sync writes to %s, too", file)
	case x.labelled() && !strings.HasPrefix(file, "/var/log/rsync"):
		x.list = append(x.list, engine.Problem{
			Severity: engine.Warning, Attribute: attribute,
			Summary: fmt.Sprintf("SELinux is enabled on the host, and its policy may not let the rsync daemon write to %s", file),
			Detail:  "use a file in /var/log whose name begins with rsync, or label it rsync_log_t",
		})
	}
}

// rsyncDaemon adds the host's rsync daemon, and a module for each tree.
func (x *expansion) rsyncDaemon() {
	d := x.spec.RsyncDaemon
	if d == nil {
		return
	}
	pack, unit, socket := resources.RsyncDaemon(x.host.Target)
	installed := "rsync"
	if pack != "rsync" {
		installed = "rsync_daemon_package"
		x.add(engine.Part{
			Name: installed, Type: "package", DependsOn: []string{"rsync"}, State: &resources.Package{Name: pack},
		}, nil)
	}
	x.rsyncMOTD(d)
	x.rsyncLogs()
	for _, j := range x.jobs {
		x.module(j, installed)
	}
	x.add(engine.Part{
		Name: "rsync_service", Type: "service", DependsOn: []string{installed},
		State: &resources.Service{
			Name: strings.TrimSuffix(unit, ".service"), Enabled: new(true), Running: new(true), Unless: socket,
		},
	}, nil)
	if x.spec.Firewall == nil || *x.spec.Firewall {
		x.add(opening(873, "tcp"), nil)
	}
}

// rsyncMOTD adds the message for all clients.
func (x *expansion) rsyncMOTD(d *RsyncDaemon) {
	if d.MOTD == "" {
		return
	}
	text := strings.TrimRight(d.MOTD, "\n") + "\n"
	x.add(engine.Part{
		Name: "rsync_motd", Type: "file",
		State: &resources.File{Path: rsyncMOTD, Content: &text, Owner: "root", Group: "root", Mode: "0644"},
	}, map[string]string{"content": "rsync_daemon.motd"})
}

// rsyncLogs adds the log of the modules, and its rotation. The daemon opens it for each client, so
// it needs no signal; a long transfer goes on in the rotated file.
func (x *expansion) rsyncLogs() {
	file := x.rsyncLog()
	if file == "" {
		return
	}
	x.add(engine.Part{
		Name: "rsync_log", Type: "file", Keep: "it has the requests of clients, and the daemon may be writing to it",
		Alone: "both would rotate it: set rsync_daemon.log of one of them",
		State: &resources.File{Path: file, Owner: "root", Group: "root", Mode: logMode},
	}, map[string]string{"path": "rsync_daemon.log"})
	if !x.has("logrotate_package") {
		x.add(engine.Part{
			Name: "logrotate_package", Type: "package", Keep: "other logs of the host need it",
			State: &resources.Package{Name: "logrotate"},
		}, nil)
	}
	x.add(engine.Part{
		Name: "rsync_logrotate", Type: "logrotate", DependsOn: []string{"logrotate_package", "rsync_log"},
		State: &resources.Logrotate{
			Name: x.jobs[0].file + "-rsyncd", Files: []string{file}, Frequency: "weekly", Rotate: new(8),
			DelayCompress: true, CreateMode: logMode, CreateOwner: "root", CreateGroup: "root",
		},
	}, nil)
}

// module adds the module of a tree.
func (x *expansion) module(j *job, installed string) {
	d := x.spec.RsyncDaemon
	comment := d.Comment
	switch {
	case j.prefix != "":
		comment = cmp.Or(comment, "AlmaLinux") + " Kitten"
	case x.spec.AlmaLinux():
		comment = cmp.Or(comment, "AlmaLinux")
	}
	exclude := []string{".~tmp~/"} // what a sync has not finished
	if x.mayHoldLostFound(j.dir) {
		exclude = append(exclude, "/lost+found/")
	}
	state := &resources.RsyncModule{
		Name: x.rsyncModule(j), Path: j.dir, Comment: comment, MaxConnections: d.MaxConnections,
		Exclude:    append(exclude, d.Exclude...),
		HostsAllow: d.HostsAllow, HostsDeny: d.HostsDeny, RefuseOptions: d.RefuseOptions,
		UID: d.UID, GID: d.GID, Chroot: d.Chroot, Log: x.rsyncLog(),
	}
	if x.has("rsync_motd") {
		state.MOTD = rsyncMOTD
	}
	from := map[string]string{"name": "rsync_daemon.module", "path": j.dirAttribute}
	for _, name := range []string{
		"comment", "max_connections", "motd", "exclude", "hosts_allow", "hosts_deny", "refuse_options", "uid", "gid", "chroot", "log",
	} {
		from[name] = "rsync_daemon." + name
	}
	x.add(engine.Part{
		Name: j.part("rsync_module"), Type: "rsync_module", State: state,
		DependsOn: append([]string{installed},
			x.existing("mount", j.part("directory"), j.part("selinux"), "rsync_motd", "rsync_log")...),
	}, from)
}

// rsyncURL returns the URL in the block, by default the one at which the daemon serves the tree.
func (x *expansion) rsyncURL(set *string, name string, j *job) string {
	module := x.rsyncModule(j)
	if set != nil || name == "" || module == "" {
		return value(set)
	}
	return "rsync://" + name + "/" + module + "/"
}
