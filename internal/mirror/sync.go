package mirror

import (
	"fmt"
	"path"
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/resources"
)

// syncing adds the parts of the syncs to an expansion.
type syncing struct{ *expansion }

// sync adds the scheduled syncs, and what they need.
func (x syncing) sync() {
	x.add(engine.Part{Name: "rsync", Type: "package", State: &resources.Package{Name: "rsync"}}, nil)
	for _, j := range x.jobs {
		x.lock(j)
		x.log(j)
	}
	x.logrotate()
	x.stateDirectory()
	x.program()
	for _, j := range x.jobs {
		x.records(j)
		x.settings(j)
		x.secrets(j)
		x.notifications(j)
		x.measurements(j)
		x.script(j)
	}
	if slices.ContainsFunc(x.jobs, func(j *job) bool { return !j.timer }) {
		x.cronDaemon()
	}
	for _, j := range x.jobs {
		x.schedule(j)
	}
}

// lockMode keeps other accounts from opening the lock: an account that can open it can hold it,
// and so keep syncs from running.
const lockMode = "0600"

// lock adds the lock file. The account cannot create it, since /run belongs to root and is empty
// after a boot; and flock(1) would create one that all accounts can open.
func (x syncing) lock(j *job) {
	from := map[string]string{"path": j.attribute("lock"), "owner": "user", "group": "user"}
	x.add(engine.Part{
		Name: j.part("lock"), Type: "file", DependsOn: x.existing("user"),
		Alone: "one sync would keep the other from running: set " + j.attribute("lock") + " of one of them",
		State: &resources.File{Path: j.lockFile, Owner: x.user, Group: x.user, Mode: lockMode},
	}, from)
	if !engine.PathWithin(j.lockFile, "/run") {
		return
	}
	content := fmt.Sprintf("# Managed by mirrorform: the lock of mirror %s. Changes made here are overwritten.\nf %s %s %s %s -\n",
		x.name, j.lockFile, lockMode, x.user, x.user)
	x.add(engine.Part{
		Name: j.part("lock_at_boot"), Type: "file", DependsOn: x.existing("user"),
		State: &resources.File{
			Path: "/etc/tmpfiles.d/" + j.file + ".conf", Content: &content, Owner: "root", Group: "root", Mode: "0644",
		},
	}, nil)
}

// logMode lets only root and the account's group read the log.
const logMode = "0640"

// log adds the log file of a job. Its account can write to the file, but cannot create it in
// /var/log.
func (x syncing) log(j *job) {
	if j.log == "" {
		return
	}
	from := map[string]string{"path": j.attribute("log"), "owner": "user", "group": "user"}
	x.add(engine.Part{
		Name: j.part("log"), Type: "file", DependsOn: x.existing("user"),
		Alone: "both would rotate it: set " + j.attribute("log") + " of one of them",
		State: &resources.File{Path: j.log, Owner: x.user, Group: x.user, Mode: logMode},
	}, from)
}

// stateDirectory adds the directory for the records of syncs. Its files are locked while they are
// written, so no other account may open them.
func (x syncing) stateDirectory() {
	x.add(engine.Part{
		Name: "sync_state", Type: "directory", DependsOn: x.existing("user"),
		State: &resources.Directory{Path: stateDir, Owner: x.user, Group: x.user, Mode: "0700"},
	}, map[string]string{"owner": "user", "group": "user"})
}

// records adds the files that the program of a job writes to the state directory. Their content is
// not managed.
func (x syncing) records(j *job) {
	for _, suffix := range []string{"status", "output", "hold"} {
		x.add(engine.Part{
			Name: j.part("sync_" + suffix), Type: "file", DependsOn: x.existing("user", "sync_state"),
			// No group: the job replaces them, with the primary group of the account.
			State: &resources.File{Path: j.state("." + suffix), Owner: x.user, Mode: "0644"},
		}, map[string]string{"owner": "user", "group": "user"})
	}
}

// logrotate keeps the logs small.
func (x syncing) logrotate() {
	var files, depends []string
	for _, j := range x.jobs {
		if j.log != "" {
			files = append(files, j.log)
			depends = append(depends, j.part("log"))
		}
	}
	if len(files) == 0 {
		return
	}
	x.add(engine.Part{
		Name: "logrotate_package", Type: "package", Keep: "other logs of the host need it",
		State: &resources.Package{Name: "logrotate"},
	}, nil)
	eight := 8
	x.add(engine.Part{
		Name: "logrotate", Type: "logrotate", DependsOn: append([]string{"logrotate_package"}, depends...),
		State: &resources.Logrotate{
			Name: x.jobs[0].file, Files: files, Frequency: "weekly", Rotate: &eight,
			// A first sync takes hours, and keeps writing to the rotated log.
			DelayCompress: true,
			CreateMode:    logMode, CreateOwner: x.user, CreateGroup: x.user,
		},
	}, nil)
}

// cronDaemon adds the cron daemon.
func (x syncing) cronDaemon() {
	unit := "cron"
	if x.family() == "el" {
		unit = "crond"
	}
	const keep = "other jobs of the host need it"
	x.add(engine.Part{
		Name: "cron_package", Type: "package", Keep: keep,
		State: &resources.Package{Name: "cron", Names: map[string]string{"el": "cronie"}},
	}, nil)
	yes := true
	x.add(engine.Part{
		Name: "cron_service", Type: "service", Keep: keep, DependsOn: []string{"cron_package"},
		State: &resources.Service{Name: unit, Enabled: &yes, Running: &yes},
	}, nil)
}

// cron adds the job's entry, with the guide's command. The daemon starts after it.
func (x syncing) cron(j *job, needs []string, data *syncs.Job) {
	x.add(engine.Part{
		Name: j.part("cron"), Type: "cron", DependsOn: needs, State: x.crontab(j), Data: data,
	}, map[string]string{
		"schedule": j.attribute("schedule"), "user": "user", "command": j.block, "log": j.attribute("log"),
		"require_mount": x.spec.Storage.mountAttribute(),
	})
	x.parts[len(x.parts)-1].advice = map[string]string{
		"command": "move long lists of patterns to a file, with an option such as --exclude-from=/etc/mirror.exclude",
	}
}

// crontab returns the entry: the guide's command, with the guard before it and the record after it.
// If the program has to choose something for each sync, it runs the command, within the lock.
func (x syncing) crontab(j *job) *resources.Cron {
	argv := j.settings.Command(true)
	switch {
	case j.timer:
		argv = append([]string{j.script(), "--timer"}, argv...)
	case j.chooses():
		argv = append([]string{j.script(), "--cron"}, argv...)
	}
	rsync, err := resources.ShellJoin(argv)
	x.report(j.block, err)
	c := &resources.Cron{Name: j.file, Schedule: j.calendar, User: x.user, Command: []string{"/usr/bin/flock", "-n", j.lock, "-c", rsync}, Log: j.log}
	if !j.timer && !j.chooses() {
		c.RequireMount, c.Guard, c.OnExit = j.mount, []string{j.script(), "--guard"}, []string{j.script(), "--record"}
	}
	return c
}

// chooses reports whether the program runs the command: because it depends on the upstreams or the
// time of the day, because it needs a secret in its environment, or because something else has to
// know how it ended.
func (j *job) chooses() bool {
	s := &j.settings
	return len(s.Fallback) > 0 || len(s.Rates) > 0 || len(s.OnFailure) > 0 || s.Proxy+s.Mail+s.URL+s.Ping+s.Metrics != ""
}

// timeFile returns the path of the job's file with the time of the upstream's last change. Only
// AlmaLinux has one that can be relied upon.
func (x syncing) timeFile(j *job) string {
	if !x.spec.AlmaLinux() {
		return ""
	}
	return path.Join(j.dir, "TIME")
}

// program adds the program that runs syncs, which all jobs of the host share, and the directory of
// their settings.
func (x syncing) program() {
	x.add(engine.Part{Name: "sync_program_directory", Type: "directory", State: &resources.Directory{Path: path.Dir(settings.Program)}}, nil)
	x.add(engine.Part{
		Name: "sync_program", Type: "program", DependsOn: []string{"sync_program_directory", "rsync"},
		State: &resources.Program{Path: settings.Program, Name: wire.SyncProgram},
	}, nil)
	x.add(engine.Part{
		Name: "sync_settings_directory", Type: "directory",
		State: &resources.Directory{Path: settings.Dir, Owner: "root", Group: "root", Mode: "0755"},
	}, nil)
}

// settings adds the settings of a job for the program. Only root and the account can read them.
func (x syncing) settings(j *job) {
	content := "# Managed by mirrorform: the sync of mirror " + x.name + ". Changes made here are overwritten.\n" + j.settings.Text()
	if _, err := settings.Parse(content); err != nil && !x.failed() {
		x.errorf(j.block, "", "invalid settings for the sync: %v", err) // such as an empty option
	}
	x.add(engine.Part{
		Name: j.part("sync_settings"), Type: "file", DependsOn: x.existing("user", "sync_settings_directory"),
		State: &resources.File{Path: settings.Dir + "/" + j.name(), Content: &content, Owner: "root", Group: x.user, Mode: "0640"},
	}, map[string]string{"content": j.block, "group": "user"})
}

// secrets adds the files with the password of the upstream's account, and with that of the proxy's.
func (x syncing) secrets(j *job) {
	if j.password != "" {
		x.secret(j, "sync_password", j.passwordFile(), j.password+"\n", j.attribute("password"))
	}
	if j.proxy != "" {
		x.secret(j, "sync_proxy", j.settings.Proxy, j.proxy+"\n", j.attribute("proxy_password"))
	}
}

// script adds the script that runs a job by hand, for example for the first sync.
func (x syncing) script(j *job) {
	content := "#!/bin/sh\n" +
		"# Managed by mirrorform: one sync of mirror " + x.name + ", now. Changes made here are overwritten.\n" +
		"#\n" +
		"# It does what the cron entry does, under the same lock, and shows rsync's output. Run it as root or as the mirror's account.\n" +
		"exec " + settings.Program + " " + j.name() + ` "$@"` + "\n"
	x.add(engine.Part{
		Name: j.part("sync_script"), Type: "file",
		DependsOn: x.existing("user", "rsync", j.part("sync_status"), j.part("sync_output"), j.part("sync_hold"), "sync_program", j.part("sync_settings"), j.part("sync_password"),
			j.part("sync_proxy"), j.part("sync_notify_url"), j.part("sync_ping"), j.part("sync_metrics_file")),
		State: &resources.File{Path: j.script(), Content: &content, Owner: "root", Group: "root", Mode: "0755"},
	}, map[string]string{"content": j.block})
}
