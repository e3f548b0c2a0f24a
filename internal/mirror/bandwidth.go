package mirror

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// AllDay returns the bandwidth of a sync block that is the same at all times.
func AllDay(rate string) map[string]string { return map[string]string{"": rate} }

// window is a part of the day: 08:00-20:00, or 20:00-08:00 over midnight.
var window = regexp.MustCompile(`^(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:[01][0-9]|2[0-3]):[0-5][0-9]$`)

// checkBandwidth checks rates and windows. No minute of the day may have two rates.
func (x *settling) checkBandwidth(j *job, s Sync) {
	attribute := j.attribute("bandwidth")
	var taken [24 * 60]string
	for _, w := range slices.Sorted(maps.Keys(s.Bandwidth)) {
		x.report(attribute, checkBandwidth(s.Bandwidth[w]))
		if w == "" && len(s.Bandwidth) == 1 {
			continue
		}
		if !window.MatchString(w) || w[:5] == w[6:] {
			x.errorf(attribute, "use hours and minutes of the host's time, such as 08:00-20:00", "invalid part of the day %q", w)
			continue
		}
		end := minuteOf(w[6:])
		for m := minuteOf(w[:5]); m != end; m = (m + 1) % len(taken) {
			if taken[m] != "" {
				x.errorf(attribute, "", "%s and %s overlap", taken[m], w)
				break
			}
			taken[m] = w
		}
	}
}

// minuteOf returns the minute of the day of HH:MM.
func minuteOf(clock string) int {
	hours, _ := strconv.Atoi(clock[:2])
	minutes, _ := strconv.Atoi(clock[3:])
	return hours*60 + minutes
}

// rates returns the windows with their rates, for the settings of the job.
func rates(bandwidth map[string]string) []string {
	var list []string
	for _, w := range slices.Sorted(maps.Keys(bandwidth)) {
		if w != "" {
			list = append(list, fmt.Sprintf("%s %s", w, bandwidth[w]))
		}
	}
	return list
}
