package syncs

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mirrorform/mirrorform/resources"
)

// cronNicknames are the schedules that crontab(5)'s nicknames stand for. @reboot has no time.
var cronNicknames = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *", "@midnight": "0 0 * * *",
	"@hourly": "0 * * * *",
}

var (
	cronMonths   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	cronWeekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// NextRun is the first time after now at which cron runs a schedule of crontab(5), in now's zone; false when there is none within five years.
func NextRun(schedule string, now time.Time) (time.Time, bool) {
	schedule, err := resources.ParseSchedule(schedule)
	if err != nil {
		return time.Time{}, false
	}
	if full := cronNicknames[schedule]; full != "" {
		schedule = full
	}
	fields := strings.Fields(schedule)
	if len(fields) != 5 {
		return time.Time{}, false
	}
	minutes, hours := cronSet(fields[0], 0, 59, nil), cronSet(fields[1], 0, 23, nil)
	days, months, weekdays := cronSet(fields[2], 1, 31, nil), cronSet(fields[3], 1, 12, cronMonths), cronSet(fields[4], 0, 7, cronWeekdays)
	weekdays[0] = weekdays[0] || weekdays[7]
	// Where neither field begins with *, one of them is enough.
	both := fields[2][0] == '*' || fields[4][0] == '*'
	for i := range 5*366 + 1 {
		day := time.Date(now.Year(), now.Month(), now.Day()+i, 0, 0, 0, 0, now.Location())
		ofMonth, ofWeek := days[day.Day()], weekdays[int(day.Weekday())]
		runs := ofMonth || ofWeek
		if both {
			runs = ofMonth && ofWeek
		}
		if !runs || !months[int(day.Month())] {
			continue
		}
		for hour := range 24 {
			for minute := range 60 {
				at := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
				if hours[hour] && minutes[minute] && at.After(now) {
					return at, true
				}
			}
		}
	}
	return time.Time{}, false
}

// cronSet are the numbers that a field means. It has been checked: resources.ParseSchedule.
func cronSet(field string, low, high int, names []string) map[int]bool {
	set := map[int]bool{}
	if i := slices.Index(names, strings.ToLower(field)); i >= 0 {
		set[i+low] = true
		return set
	}
	for item := range strings.SplitSeq(field, ",") {
		span, stepText, stepped := strings.Cut(item, "/")
		step := 1
		if n, err := strconv.Atoi(stepText); stepped && err == nil && n > 0 {
			step = n
		}
		first, last := low, high
		if span != "*" {
			from, to, ranged := strings.Cut(span, "-")
			first, _ = strconv.Atoi(from)
			last = first
			if ranged {
				last, _ = strconv.Atoi(to)
			}
		}
		for n := first; n <= min(last, high); n += step {
			set[n] = true
		}
	}
	return set
}
