package syncjob

import (
	"os"
	"strconv"
)

// unchanged reports whether the upstream's file that Freshness names is that of the tree, and the
// tree and its settings are those of a complete sync. rsync gives the file the time that it had
// when the sync began. So a change of the upstream during the sync is not missed.
func (j *job) unchanged() bool {
	if j.Freshness == "" || j.offered == "" || j.offered != j.fileState() {
		return false
	}
	for _, r := range j.files().records() {
		if r.exit >= statusUsage && r.exit <= statusConfig {
			continue // nothing was synced
		}
		set, err := os.Stat(j.settingsFile)
		if r.exit != 0 || err != nil || set.ModTime().Unix() >= r.start {
			return false
		}
		j.say("the upstream's " + j.Freshness + " is unchanged")
		return true
	}
	return false
}

// rsyncTime is how rsync lists times.
const rsyncTime = "2006/01/02 15:04:05"

// fileState returns time and size of the tree's required file as rsync lists those of the upstream,
// so that later ones are greater: "2026/11/29 08:08:37 11". It is "" without the file.
func (j *job) fileState() string {
	info, err := os.Stat(j.Directory + j.Require)
	if err != nil || j.Require == "" || !info.Mode().IsRegular() {
		return ""
	}
	return info.ModTime().UTC().Format(rsyncTime) + " " + strconv.FormatInt(info.Size(), 10)
}

// timeOf returns the time in the state of a file.
func timeOf(state string) string { return state[:min(len(state), len(rsyncTime))] }
