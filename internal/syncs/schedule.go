package syncs

import (
	"time"

	"github.com/mirrorform/mirrorform/resources"
)

// NextRun returns the first time after now at which cron runs a schedule of crontab(5), in the time
// zone of now; false if that is not within five years.
func NextRun(schedule string, now time.Time) (time.Time, bool) {
	s, err := resources.ParseSchedule(schedule)
	if err != nil {
		return time.Time{}, false
	}
	return s.Next(now)
}
