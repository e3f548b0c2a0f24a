package mirror

import (
	"path"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncs"
	"github.com/mirrorform/mirrorform/resources"
)

// The values of sync.scheduler.
const (
	cronScheduler    = "cron"
	systemdScheduler = "systemd"
)

// schedule adds what starts the job's syncs. It comes after all that a sync needs, since the job
// may run at once.
func (x syncing) schedule(j *job) {
	data := &syncs.Job{
		Host: x.host.Target.Name, Mirror: j.name(), Script: j.script(), Lock: j.lock, Dir: j.dir, User: x.user, Schedule: j.calendar,
		Status: j.state(".status"), Output: j.state(".output"), Hold: j.state(".hold"), Time: x.timeFile(j), Certificate: x.certificateFile(),
		Hubs: j.hubs,
	}
	needs := x.existing("user", "mount", j.part("tree"), j.part("directory"), "rsync", j.part("lock"), j.part("lock_at_boot"), j.part("log"),
		"cron_package", j.part("sync_script"), j.part("sync_status"))
	if j.timer {
		x.timer(j, needs, data)
	} else {
		x.cron(j, needs, data)
	}
}

// timer adds a systemd timer and its service, which runs the command of a crontab. With flock's
// status for a lock that is held, 75, the service does not fail.
func (x syncing) timer(j *job, needs []string, data *syncs.Job) {
	c := x.crontab(j)
	c.Command = append([]string{c.Command[0], "-n", "-E", "75"}, c.Command[2:]...)
	command, err := c.Shell()
	x.report(j.block, err)
	calendar, err := resources.ParseSchedule(j.calendar)
	if err != nil {
		x.report(j.attribute("schedule"), err)
		return
	}
	var on strings.Builder
	for _, line := range calendar.Calendar() {
		on.WriteString("OnCalendar=" + line + "\n")
	}
	if on.Len() == 0 {
		x.errorf(j.attribute("schedule"), "use five fields, or set every", "the schedule %q has no times for a timer", j.calendar)
	}
	if j.delay != "" {
		on.WriteString("RandomizedDelaySec=" + j.delay + "\n")
	}
	unit := "mirrorform-timer-" + j.name() // no other unit of a mirror of any name
	const managed = "# Managed by mirrorform. Changes made here are overwritten.\n"
	service, timer := systemdUnit(unit+".service", managed+`[Unit]
Description=Sync of mirror `+j.name()+`
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=oneshot
User=`+x.user+`
ExecStart=/bin/sh -c `+systemdQuote(command)+`
SuccessExitStatus=75
`), systemdUnit(unit+".timer", managed+`[Unit]
Description=Syncs of mirror `+j.name()+`

[Timer]
`+on.String()+`AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
`)
	x.add(engine.Part{Name: j.part("timer_service"), Type: "file", DependsOn: needs, State: service}, map[string]string{"content": j.block})
	x.add(engine.Part{Name: j.part("timer_unit"), Type: "file", State: timer}, map[string]string{"content": j.attribute("schedule")})
	yes := true
	x.add(engine.Part{
		Name: j.part("timer"), Type: "service", DependsOn: []string{j.part("timer_service"), j.part("timer_unit")},
		State: &resources.Service{Name: path.Base(timer.Path), Enabled: &yes, Running: &yes, RestartOn: []string{timer.Path, service.Path}},
		Data:  data,
	}, nil)
}

// systemdQuote quotes an argument in ExecStart: systemd.service(5), COMMAND LINES.
func systemdQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
}
