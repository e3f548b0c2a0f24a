package resources

import (
	"slices"
	"testing"
)

// A timer runs at the times at which cron does.
func TestCalendar(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schedule string
		want     []string
	}{
		{"33 * * * *", []string{"*-*-* *:33:00"}},
		{"33 */6 * * *", []string{"*-*-* 0,6,12,18:33:00"}},
		{"3-59/15 * * * *", []string{"*-*-* *:3,18,33,48:00"}},
		{"* * * * *", []string{"*-*-* *:*:00"}},
		{"5 4 * * Mon", []string{"mon *-*-* 4:5:00"}},
		{"5 4 * * 1-5", []string{"mon,tue,wed,thu,fri *-*-* 4:5:00"}},
		{"5 4 * * 0,7", []string{"sun *-*-* 4:5:00"}},
		{"5 4 * * 7", []string{"sun *-*-* 4:5:00"}},
		{"5 4 * * 1-7", []string{"*-*-* 4:5:00"}},
		{"5 4 * * 0-5,7", []string{"sun,mon,tue,wed,thu,fri *-*-* 4:5:00"}},
		{"0 0 1 jan *", []string{"*-1-1 0:0:00"}},
		{"0 0 1,15 * 5", []string{"*-*-1,15 0:0:00", "fri *-*-* 0:0:00"}},                      // one of them is enough
		{"0 0 1-31 * 5", []string{"*-*-* 0:0:00"}},                                             // so each day is
		{"0 0 */2 * 5", []string{"fri *-*-1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31 0:0:00"}}, // both, after *
		{"@weekly", []string{"sun *-*-* 0:0:00"}},
		{"@reboot", nil},
	} {
		s, err := ParseSchedule(c.schedule)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Calendar(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.schedule, got, c.want)
		}
	}
}
