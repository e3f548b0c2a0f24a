package mirror

import "slices"

// The parts that serve a mirror over the web: its site, and that over HTTPS if a CA issues the
// certificate.
const (
	Site    = "site"
	TLSSite = "tls_site"
)

// live are the parts that make a mirror sync, serve or be published.
var live = []string{
	"cron", "timer", "timer_unit", "timer_service", Site, TLSSite, "snippet", "rsync_module", "publish",
	"kitten_cron", "kitten_timer", "kitten_timer_unit", "kitten_timer_service", "kitten_rsync_module",
}

// Live reports whether the part with the name makes a mirror sync, serve or be published. A retired
// mirror lacks these parts, but keeps all others and its files.
func Live(part string) bool {
	return slices.Contains(live, part)
}

// Data reports whether the part with the name is a directory with the mirror's files, and returns
// the names that the parts have which schedule the syncs to it.
func Data(part string) (crons []string, ok bool) {
	switch part {
	case "directory":
		return []string{"cron", "timer"}, true
	case "kitten_directory":
		return []string{"kitten_cron", "kitten_timer"}, true
	case "mount_point":
		return []string{"cron", "timer", "kitten_cron", "kitten_timer"}, true
	}
	return nil, false
}
