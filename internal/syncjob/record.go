package syncjob

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keptRecords is how many syncs a status file keeps.
const keptRecords = 50

// entry is a line of the status file, as far as later syncs need it.
type entry struct {
	start, end, bytes int64
	exit              int
	success           int64  // end of the last successful sync
	upstreamTime      int64  // of the upstream's required file
	unsent            string // notifications that failed, each in quotes
}

// parseEntry reads a line that record has written. No text in it contains a bare quote.
func parseEntry(line string) (e entry) {
	number := func(key string) int64 {
		_, after, _ := strings.Cut(line, `"`+key+`":`)
		n, _ := strconv.ParseInt(after[:len(after)-len(strings.TrimLeft(after, "0123456789"))], 10, 64)
		return n
	}
	e = entry{
		start: number("start"), end: number("end"), bytes: number("bytes"), exit: int(number("exit")), success: number("success"),
		upstreamTime: number("upstream_time"),
	}
	_, e.unsent, _ = strings.Cut(line, `"unsent":[`)
	return e
}

// record adds a line to the status file: how a sync ended, and how much it received according to
// its output, if there is one.
func (j *job) record(by string, status int, output string) {
	var past entry
	for _, e := range j.files().records() {
		if !stopped(e.exit) {
			past = e
			break
		}
	}
	e := entry{end: time.Now().Unix(), success: past.success, upstreamTime: past.upstreamTime}
	var line strings.Builder
	number := func(key string, n int64) { line.WriteString(`,"` + key + `":` + strconv.FormatInt(n, 10)) }
	line.WriteString(`{"start":` + strconv.FormatInt(j.start.Unix(), 10))
	number("end", e.end)
	line.WriteString(`,"exit":` + strconv.Itoa(status) + `,"by":"` + by + `"`)
	j.restoreFreshness(j.lacks)
	if j.lacks != "" {
		line.WriteString(`,"ran_out_of":"` + j.lacks + `"`)
	}
	if output != "" && (succeeded(status) || status == 23 || status == rsyncMaxDelete) {
		if amount, files := received(output); amount != "" {
			line.WriteString(`,"bytes":` + amount + `,"files":` + files)
			e.bytes, _ = strconv.ParseInt(amount, 10, 64)
		}
	}
	if j.same {
		line.WriteString(`,"unchanged":true`)
	}
	if j.upstream != j.Upstream {
		line.WriteString(`,"upstream":` + strconv.Quote(j.upstream))
	}
	if fs := (unix.Statfs_t{}); j.mounted() && unix.Statfs(j.Directory, &fs) == nil {
		unit := uint64(fs.Frsize)
		number("size", int64(fs.Blocks*unit))
		number("available", int64(fs.Bavail*unit))
	}
	if succeeded(status) {
		e.success = e.end
	}
	if at, err := time.Parse(rsyncTime, timeOf(j.offered)); err == nil {
		e.upstreamTime = at.Unix()
	}
	if j.Metrics != "" {
		number("success", e.success)
	}
	if j.Metrics != "" || j.offered != "" {
		number("upstream_time", e.upstreamTime)
	}
	if unsent := j.notify(past, status); unsent != "" {
		line.WriteString(`,"unsent":[` + unsent + `]`)
	}
	line.WriteString("}\n")
	j.files().add(line.String())
	e.exit = status
	j.writeMetrics(e)
}

// replace writes a file. After a power failure the file is completely old or completely new.
func replace(file string, content []byte) error {
	dir, name := filepath.Split(file)
	temp := dir + "." + name
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// tail returns the end of a file.
func tail(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(0, info.Size()-most), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

// eachLine calls what for each line. A carriage return also ends a line, since rsync's progress
// uses it. Very long lines are cut off.
func eachLine(r io.Reader, what func(line string)) {
	const longest = 64 << 10
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for {
		b, err := in.ReadByte()
		switch {
		case err != nil:
			if len(line) > 0 {
				what(string(line))
			}
			return
		case b == '\n' || b == '\r':
			what(string(line))
			line = line[:0]
		case len(line) < longest:
			line = append(line, b)
		}
	}
}

// received returns how many bytes and files rsync received, from the output of the last sync in a
// file; amount is "" if that is not known. File names come from the upstream, so only digits are
// used from the lines.
func received(file string) (amount, files string) {
	f, err := os.Open(file)
	if err != nil {
		return "", ""
	}
	defer func() { _ = f.Close() }()
	names := 0
	eachLine(f, func(line string) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "receiving file list") || strings.HasPrefix(line, "receiving incremental file list"):
			names, files, amount = 0, "", ""
		case strings.HasPrefix(line, "Number of regular files transferred: ") && number(fields[len(fields)-1]) != "":
			files = number(fields[len(fields)-1])
		case len(fields) > 5 && fields[0] == "sent" && fields[2] == "bytes" && fields[3] == "received" && fields[5] == "bytes" && number(fields[4]) != "":
			amount = number(fields[4])
			if files == "" {
				files = strconv.Itoa(names)
			}
		case line == "" || strings.HasPrefix(line, "deleting ") || strings.HasSuffix(line, "/") || strings.Contains(line, " -> ") || strings.Contains(line, " => "):
		default:
			names++
		}
	})
	return amount, files
}

// number returns a number that rsync printed, without its commas, or "".
func number(s string) string {
	s = strings.ReplaceAll(s, ",", "")
	if _, err := strconv.ParseUint(s, 10, 63); err != nil {
		return ""
	}
	return s
}

// recordCron records a sync that cron ran. pid is cron's shell, and ended is its exit status, which
// is also returned.
func (j *job) recordCron(pid, ended int) int {
	status := ended
	switch {
	case !j.mounted():
		status = statusAbsent
	case status == statusUnchanged:
		status, ended, j.same = 0, 0, true
	case status == 1 && !j.wrongArgument():
		return ended // nothing was synced
	case status == rsyncMaxDelete:
		j.files().hold()
	}
	if !j.same {
		status = j.judge(status, j.Log)
	}
	if status == rsyncPartial {
		ended = status
	}
	output := j.Log
	if j.same {
		output = "" // it ends with that of an earlier sync
	}
	if began, ok := processStart(pid); ok {
		j.start = began
		j.record("cron", status, output)
	}
	if succeeded(ended) {
		return 0
	}
	return ended
}

// wrongArgument reports whether status 1 is from rsync. flock uses the same status if the lock is
// held.
func (j *job) wrongArgument() bool {
	if j.Log == "" {
		return !j.busy()
	}
	end, err := tail(j.Log, 4096)
	if err != nil {
		return false
	}
	lines := strings.Split(strings.TrimRight(string(end), "\n"), "\n")
	last := lines[len(lines)-1]
	return strings.HasPrefix(last, "rsync error: ") && strings.Contains(last, "(code 1)")
}

// processStart returns when a process started. proc_pid_stat(5) gives it in ticks of 10 ms since
// boot.
func processStart(pid int) (time.Time, bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return time.Time{}, false
	}
	_, after, _ := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), ") ")
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	var up unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &up) != nil {
		return time.Time{}, false
	}
	return time.Now().Add(-time.Duration(up.Nano()) + time.Duration(ticks)*10*time.Millisecond), true
}

// mounted reports whether the file system of the mirror is mounted.
func (j *job) mounted() bool {
	if j.Mount == "" {
		return true
	}
	point, err := realPath(j.Mount)
	if err != nil {
		return false
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 4 && unescape(f[4]) == point {
			return true
		}
	}
	return false
}

// unescape decodes a path of proc_pid_mountinfo(5), where \040 is a space.
func unescape(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
