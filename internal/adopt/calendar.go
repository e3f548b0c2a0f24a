package adopt

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/resources"
)

// calendarWords are the words of systemd.time(7) for calendar events.
var calendarWords = map[string]string{
	"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *",
	"yearly": "0 0 1 1 *", "annually": "0 0 1 1 *",
}

// interval matches a time span of hours or minutes.
var interval = regexp.MustCompile(`^([1-9][0-9]*) ?(h|hr|hour|hours|m|min|minute|minutes|s|sec|seconds)?$`)

// calendarSchedule returns five fields of crontab(5) for a calendar event or a time span of
// systemd.time(7), or "" if nothing in crontab(5) means the same.
func calendarSchedule(text string) string {
	text = strings.TrimSpace(text)
	if fields, ok := calendarWords[strings.ToLower(text)]; ok {
		return fields
	}
	if m := interval.FindStringSubmatch(text); m != nil {
		return spanSchedule(m[1], m[2])
	}
	days, date, clock := "*", "*-*-*", ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case strings.Contains(word, ":"):
			clock = word
		case strings.Count(word, "-") == 2:
			date = word
		case strings.Contains(word, "-") || clock != "":
			return "" // a short date, or a time zone
		default:
			days = strings.ToLower(word)
		}
	}
	parts := strings.Split(clock, ":")
	ymd := strings.Split(date, "-")
	if len(parts) < 2 || len(parts) > 3 || len(ymd) != 3 || ymd[0] != "*" || len(parts) == 3 &&
		strings.Trim(parts[2], "0") != "" {
		return ""
	}
	day := strings.NewReplacer("..", "-").Replace(days)
	for name, number := range cronNames {
		if len(name) == 3 && strings.Contains("sun mon tue wed thu fri sat", name) {
			day = regexp.MustCompile(name+`[a-z]*`).ReplaceAllString(day, number)
		}
	}
	day = strings.ReplaceAll(day, "-0", "-7")
	fields := []string{calendarField(parts[1], 59), calendarField(parts[0], 23), calendarField(ymd[2], 31),
		calendarField(ymd[1], 12), day}
	s, err := resources.ParseSchedule(strings.Join(fields, " "))
	if err != nil {
		return ""
	}
	return s.String()
}

// calendarField converts a component of a calendar event: lists, A..B and A/STEP.
func calendarField(text string, most int) string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		from, step, steps := strings.Cut(part, "/")
		from = strings.ReplaceAll(from, "..", "-")
		if n, err := strconv.Atoi(from); err == nil {
			from = strconv.Itoa(n)
			if steps {
				from += "-" + strconv.Itoa(most)
			}
		}
		if from == "0-"+strconv.Itoa(most) && steps {
			from = "*"
		}
		if steps {
			from += "/" + step
		}
		out = append(out, from)
	}
	return strings.Join(out, ",")
}

// spanSchedule returns the schedule for a time span that divides the hour or the day.
func spanSchedule(count, unit string) string {
	n, err := strconv.Atoi(count)
	minutes := n
	switch {
	case strings.HasPrefix(unit, "h"):
		minutes = n * 60
	case unit == "" || strings.HasPrefix(unit, "s"):
		minutes = n / 60
	}
	switch {
	case err != nil || minutes < 1 || minutes > 24*60:
		return ""
	case minutes < 60 && 60%minutes == 0:
		return "*/" + strconv.Itoa(minutes) + " * * * *"
	case minutes == 60:
		return "0 * * * *"
	case minutes == 24*60:
		return "0 0 * * *"
	case minutes%60 == 0 && 24%(minutes/60) == 0:
		return "0 */" + strconv.Itoa(minutes/60) + " * * *"
	}
	return ""
}
