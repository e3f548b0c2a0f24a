package mirrorsd

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Service has the settings of upstream's service that the rules need. They are keys of config.yml
// in github.com/AlmaLinux/mirrors, which package upstream reads.
type Service struct {
	// AllowedOutdate is the key allowed_outdate: the age of a tree from which its mirror is not
	// listed. It is greater than zero.
	AllowedOutdate time.Duration
	// RequiredProtocols is the key required_protocols: the keys of address of which at least one is
	// required. The service uses the first that is present.
	RequiredProtocols []string
}

// DefaultService returns the built-in settings, a copy of those in upstream's config.yml.
func DefaultService() Service {
	return Service{AllowedOutdate: 12 * time.Hour, RequiredProtocols: []string{"http", "https"}}
}

// units are the units of durations in upstream's files.
var units = map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

var durationForm = regexp.MustCompile(`^([1-9][0-9]{0,3})([mhd])$`)

// ParseDuration reads a duration as in upstream's files: a number greater than zero, followed by m,
// h or d.
func ParseDuration(s string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s is not a duration; write a number and m, h or d, such as 12h", show(s))
	}
	n, _ := strconv.Atoi(m[1]) // at most four digits
	return time.Duration(n) * units[m[2]], nil
}

// duration formats a duration as in upstream's files.
func duration(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
