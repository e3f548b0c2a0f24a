package mirror

import "slices"

// Live tells whether a part, by its name, is one by which a mirror syncs, serves and is published. Without these it rests: what it
// needs is still there, and so are its files.
func Live(part string) bool {
	return slices.Contains([]string{"cron", "kitten_cron", "site", "publish"}, part)
}

// Data tells whether a part, by its name, is a directory of the mirror's files, and returns the names of the cron parts whose jobs write there.
func Data(part string) (crons []string, ok bool) {
	switch part {
	case "directory":
		return []string{"cron"}, true
	case "kitten_directory":
		return []string{"kitten_cron"}, true
	case "mount_point":
		return []string{"cron", "kitten_cron"}, true
	}
	return nil, false
}
