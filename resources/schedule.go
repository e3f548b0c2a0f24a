package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// scheduleField is one of the five fields of a crontab line.
type scheduleField struct {
	name     string
	min, max int
	names    []string // the words that stand for min, min+1, …
}

// scheduleFields are from crontab(5). Debian's cron and cronie agree on them.
var scheduleFields = []scheduleField{
	{name: "minute", min: 0, max: 59},
	{name: "hour", min: 0, max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", min: 0, max: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// nicknames are the words that stand for all five fields.
var nicknames = []string{"@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}

// ParseSchedule reads a crontab(5) schedule, five fields or one of the nicknames like @daily, and returns it with single
// spaces. It takes what both Debian's cron and cronie run: lists, ranges, steps after a range or "*", and one name
// of a month or weekday. The error names the field that is wrong.
func ParseSchedule(s string) (string, error) {
	if err := checkText(strings.ReplaceAll(s, "\t", " ")); err != nil {
		return "", fmt.Errorf("schedule: %w", err)
	}
	fields := strings.Fields(s)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		if len(fields) == 1 && slices.Contains(nicknames, fields[0]) {
			return fields[0], nil
		}
		return "", fmt.Errorf("schedule %q: use five fields, or one of %s", s, strings.Join(nicknames, ", "))
	}
	if len(fields) != len(scheduleFields) {
		return "", fmt.Errorf("schedule %q has %d fields, it needs 5: minute, hour, day of month, month, day of week", s, len(fields))
	}
	for i, f := range scheduleFields {
		if err := f.check(fields[i]); err != nil {
			return "", fmt.Errorf("schedule %q: %s: %w", s, f.name, err)
		}
	}
	return strings.Join(fields, " "), nil
}

// check reads a whole field: a list of numbers, ranges and steps, or one name.
func (f scheduleField) check(text string) error {
	if slices.Contains(f.names, strings.ToLower(text)) {
		return nil
	}
	for item := range strings.SplitSeq(text, ",") {
		if err := f.item(item); err != nil {
			return err
		}
	}
	return nil
}

// item reads one member of a list.
func (f scheduleField) item(item string) error {
	span, step, stepped := strings.Cut(item, "/")
	if stepped {
		n, err := strconv.ParseUint(step, 10, 8)
		if err != nil || n == 0 || int(n) > f.max {
			return fmt.Errorf("%q: the step must be a number from 1 to %d", item, f.max)
		}
	}
	if span == "*" {
		return nil
	}
	low, high, ranged := strings.Cut(span, "-")
	first, err := f.number(low)
	if err != nil {
		return err
	}
	if !ranged {
		if stepped {
			return fmt.Errorf("%q: a step follows * or a range, like %s-%d/%s", item, low, f.max, step)
		}
		return nil
	}
	last, err := f.number(high)
	if err != nil {
		return err
	}
	if last < first {
		return fmt.Errorf("%q ends before it begins", item)
	}
	return nil
}

// number reads a number of the field.
func (f scheduleField) number(text string) (int, error) {
	if slices.Contains(f.names, strings.ToLower(text)) {
		return 0, fmt.Errorf("%q: a name stands alone, write numbers in a list or range", text)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", text)
	}
	if int(n) < f.min || int(n) > f.max {
		return 0, fmt.Errorf("%s is outside %d-%d", text, f.min, f.max)
	}
	return int(n), nil
}
