package adopt

import (
	"path"
	"slices"
	"strings"
)

// timer is a timer of systemd.
type timer struct {
	name     string // the unit; "" without one
	at       string // path of its file
	schedule string // as in crontab(5), or ""
	delay    bool   // with a random delay
}

// timerOf returns the timer that starts a service.
func (f unitReader) timerOf(service, instance string) timer {
	dir := path.Dir(service)
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(service), ".container"), ".service") + instance + ".service"
	dirs := unitDirs
	if !slices.Contains(unitDirs, dir) && !slices.Contains(quadletDirs, dir) {
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		for _, p := range f.entries(dir) {
			if !strings.HasSuffix(p, ".timer") {
				continue
			}
			settings, realPath, ok := f.unitText(p)
			if !ok {
				continue
			}
			if t, starts := readTimer(settings, strings.TrimSuffix(path.Base(p), ".timer"), instance); starts == name {
				t.at = realPath
				return t
			}
		}
	}
	return timer{}
}

// readTimer reads a timer, for an instance if it is that of a template, and the service that it
// starts.
func readTimer(settings []placed, own, instance string) (t timer, starts string) {
	starts = own + ".service"
	var calendar []string
	for _, s := range settings {
		if s.section != "Timer" {
			continue
		}
		switch s.key {
		case "unit":
			starts = s.value
		case "oncalendar", "onunitactivesec", "onunitinactivesec":
			if calendar = append(calendar, s.value); s.value == "" {
				calendar = nil
			}
		case "randomizeddelaysec":
			t.delay = s.value != "0" && s.value != ""
		}
	}
	if strings.HasSuffix(own, "@") {
		starts = strings.Replace(strings.ReplaceAll(starts, "%i", instance), "@.service", "@"+instance+".service", 1)
		own += instance
	}
	if len(calendar) == 1 {
		t.schedule = calendarSchedule(calendar[0])
	}
	t.name = own + ".timer"
	return t, starts
}
