package mirrorsd

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Service holds what the rules need to know of upstream's service: some of the keys
// of config.yml in github.com/AlmaLinux/mirrors.
type Service struct {
	AllowedOutdate    time.Duration // allowed_outdate: how old a tree may be before its mirror leaves the list; positive
	RequiredProtocols []string      // required_protocols: keys of address of which one is required
}

// DefaultService returns the facts of upstream's config.yml as they were when this was written.
func DefaultService() Service {
	return Service{AllowedOutdate: 12 * time.Hour, RequiredProtocols: []string{"http", "https"}}
}

// ParseService reads a config.yml (service_config.v3.schema.json). Keys that Service does not hold
// are not looked at. It fails if a key that it does hold is absent or has an unusable value.
func ParseService(data []byte) (Service, error) {
	var file struct {
		AllowedOutdate    string   `yaml:"allowed_outdate"`
		RequiredProtocols []string `yaml:"required_protocols"`
	}
	if len(data) > MaxSize {
		return Service{}, fmt.Errorf("the file has %d bytes, more than the limit of %d", len(data), MaxSize)
	}
	doc, err := decode(data)
	if err != nil {
		return Service{}, err
	}
	if err := doc.Decode(&file); err != nil {
		return Service{}, fmt.Errorf("the file is not a config.yml of AlmaLinux's service: %w", err)
	}
	s := Service{RequiredProtocols: file.RequiredProtocols}
	if s.AllowedOutdate, err = parseDuration(file.AllowedOutdate); err != nil {
		return Service{}, fmt.Errorf("allowed_outdate: %w", err)
	}
	var known Address
	if len(s.RequiredProtocols) == 0 {
		return Service{}, errors.New("required_protocols: has no protocol; name those of which a mirror needs one, such as http")
	}
	for _, p := range s.RequiredProtocols {
		if keys := known.fields().keys(); !slices.Contains(keys, p) {
			return Service{}, fmt.Errorf("required_protocols: %s is none of %q", show(p), keys)
		}
	}
	return s, nil
}

// units are those that durations are written with in upstream's files.
var units = map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

var durationForm = regexp.MustCompile(`^([1-9][0-9]{0,3})([mhd])$`)

func parseDuration(s string) (time.Duration, error) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%s is not a duration; write a number and m, h or d, such as 12h", show(s))
	}
	n, _ := strconv.Atoi(m[1]) // at most four digits
	return time.Duration(n) * units[m[2]], nil
}

// duration writes a duration as upstream's files do.
func duration(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
