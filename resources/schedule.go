package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scheduleField is one of the five fields of a crontab line.
type scheduleField struct {
	name     string
	min, max int
	names    []string // names of min, min+1, …
}

// scheduleFields are from crontab(5). Debian's cron and cronie agree on them.
var scheduleFields = []scheduleField{
	{name: "minute", min: 0, max: 59},
	{name: "hour", min: 0, max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", min: 0, max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// nicknames stand for all five fields. @reboot has no times.
var nicknames = []struct{ word, fields string }{
	{"@reboot", ""}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
	{"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
}

// Schedule is when cron runs a job.
type Schedule struct {
	text   string
	values []map[int]bool // of each field, in the order of scheduleFields; nil for @reboot
	both   bool           // a day must match both day of month and day of week, not only one of them
}

// String returns the schedule as written, with single spaces.
func (s Schedule) String() string { return s.text }

// ParseSchedule reads a schedule of crontab(5): five fields, or a nickname such as @daily. It
// accepts what both Debian's cron and cronie support: lists, ranges, steps after a range or "*",
// and one name of a month or a day. The error names the invalid field.
func ParseSchedule(s string) (Schedule, error) {
	if err := checkText(strings.ReplaceAll(s, "\t", " ")); err != nil {
		return Schedule{}, fmt.Errorf("schedule: %w", err)
	}
	fields := strings.Fields(s)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		return parseNickname(s, fields)
	}
	if len(fields) != len(scheduleFields) {
		return Schedule{}, fmt.Errorf("schedule %q has %d fields instead of 5: minute, hour, day of month, month, day of week",
			s, len(fields))
	}
	// If neither of the two fields begins with *, a day that matches one of them is enough
	// (crontab(5)).
	out := Schedule{text: strings.Join(fields, " "), both: fields[2][0] == '*' || fields[4][0] == '*'}
	for i, f := range scheduleFields {
		values, err := f.read(fields[i])
		if err != nil {
			return Schedule{}, fmt.Errorf("schedule %q: %s: %w", s, f.name, err)
		}
		out.values = append(out.values, values)
	}
	return out, nil
}

// parseNickname reads a schedule that begins with @.
func parseNickname(s string, words []string) (Schedule, error) {
	var all []string
	for _, n := range nicknames {
		switch {
		case len(words) > 1 || words[0] != n.word:
			all = append(all, n.word)
		case n.fields == "":
			return Schedule{text: n.word}, nil
		default:
			out, err := ParseSchedule(n.fields)
			out.text = n.word
			return out, err
		}
	}
	return Schedule{}, fmt.Errorf("invalid schedule %q: use five fields, or one of %s", s, strings.Join(all, ", "))
}

// Next returns the next time after now, in now's time zone, at which cron runs the job. It returns
// false if the job does not run within five years.
func (s Schedule) Next(now time.Time) (time.Time, bool) {
	if s.values == nil {
		return time.Time{}, false
	}
	minutes, hours, days, months, weekdays := s.values[0], s.values[1], s.values[2], s.values[3], s.values[4]
	for i := range 5*366 + 1 {
		day := time.Date(now.Year(), now.Month(), now.Day()+i, 0, 0, 0, 0, now.Location())
		ofMonth, ofWeek := days[day.Day()], weekdays[int(day.Weekday())] || day.Weekday() == time.Sunday && weekdays[7]
		runs := ofMonth || ofWeek
		if s.both {
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

// Calendar returns the schedule as lines of OnCalendar (systemd.time(7)): one, or two if a day that
// matches one of two fields is enough. @reboot has none.
func (s Schedule) Calendar() []string {
	if s.values == nil {
		return nil
	}
	at := func(field int) string {
		f, values := scheduleFields[field], s.values[field]
		last, words := f.max, []string{}
		if field == 4 {
			last = 6 // 7 is Sunday, too
		}
		for n := f.min; n <= last; n++ {
			switch {
			case field == 4 && (values[n] || n == 0 && values[7]):
				words = append(words, f.names[n])
			case field != 4 && values[n]:
				words = append(words, strconv.Itoa(n))
			}
		}
		if len(words) > last-f.min {
			return "*"
		}
		return strings.Join(words, ",")
	}
	line := func(days, weekdays string) string {
		text := fmt.Sprintf("*-%s-%s %s:%s:00", at(3), days, at(1), at(0))
		if weekdays != "*" {
			text = weekdays + " " + text
		}
		return text
	}
	switch days, weekdays := at(2), at(4); {
	case s.both:
		return []string{line(days, weekdays)}
	case days == "*" || weekdays == "*":
		return []string{line("*", "*")}
	default:
		return []string{line(days, "*"), line("*", weekdays)}
	}
}

// read returns the values of a field: a list of numbers, ranges and steps, or one name.
func (f scheduleField) read(text string) (map[int]bool, error) {
	values := map[int]bool{}
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		values[f.min+i] = true
		return values, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		first, last, step, err := f.item(item)
		if err != nil {
			return nil, err
		}
		for n := first; n <= last; n += step {
			values[n] = true
		}
	}
	return values, nil
}

// item reads one member of a list.
func (f scheduleField) item(item string) (first, last, by int, err error) {
	by = 1
	span, step, stepped := strings.Cut(item, "/")
	if stepped {
		n, err := strconv.ParseUint(step, 10, 8)
		if err != nil || n == 0 || int(n) > f.max {
			return 0, 0, 0, fmt.Errorf("%q: the step must be a number from 1 to %d", item, f.max)
		}
		by = int(n)
	}
	if span == "*" {
		return f.min, f.max, by, nil
	}
	low, high, ranged := strings.Cut(span, "-")
	if first, err = f.number(low); err != nil {
		return 0, 0, 0, err
	}
	if !ranged {
		if stepped {
			return 0, 0, 0, fmt.Errorf("%q: a step must follow * or a range, such as %s-%d/%s", item, low, f.max, step)
		}
		return first, first, by, nil
	}
	if last, err = f.number(high); err != nil {
		return 0, 0, 0, err
	}
	if last < first {
		return 0, 0, 0, fmt.Errorf("%q ends before it begins", item)
	}
	return first, last, by, nil
}

// number reads a number of the field.
func (f scheduleField) number(text string) (int, error) {
	if slices.Contains(f.names, strings.ToLower(text)) {
		return 0, fmt.Errorf("%q: a name must be alone: use numbers in a list or a range", text)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if int(n) < f.min || int(n) > f.max {
		return 0, fmt.Errorf("%s is not between %d and %d", text, f.min, f.max)
	}
	return int(n), nil
}
