package agent

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Whether a site serves a directory tree is judged by one file of the tree: TIME, or the first file
// that others may read. An empty tree is fine: it was not synced yet.

const (
	servedDirs  = 100  // how many directories are searched for a file
	servedNames = 4096 // names read of each of them
)

// notServed returns an error if the site does not serve a tree, with the cause as far as the host
// shows it.
func (s *site) notServed(ctx context.Context, url, dir string, hidden func(url string) bool) error {
	fd, err := openDir(dir, nil)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	root := &place{dir: fd, path: dir}
	defer root.close()
	rest := sampleOf(root.dir, func(rest string) bool { return hidden(url + rest + "/") })
	if rest == "" {
		return nil
	}
	file, rel := path.Join(dir, rest), url+escapeURL(rest)
	at := s.url(s.host, rel)
	for try := 0; ; try++ {
		want, err := prefixOf(fd, rest)
		if absent(err) && try == 0 {
			continue // a sync has replaced the file
		}
		if err != nil {
			return nil
		}
		status, body, err := s.fetch(ctx, rel)
		switch n := min(len(body), len(want)); {
		case err == nil && status == 200 && body[:n] == want[:n]:
			return nil
		case try == 0:
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", at, err)
		case status == 200:
			return fmt.Errorf("%s is not the file %s: %s", at, file, s.server().answersElse())
		}
		return fmt.Errorf("%s returns status %d for %s: %s", at, status, file, s.server().whyNot(status, file))
	}
}

// treesNotServed returns the error of the first tree that is not served. trees holds URL paths and
// directories alternately.
func (s *site) treesNotServed(ctx context.Context, trees []string) error {
	for i := 0; i+1 < len(trees); i += 2 {
		// A tree that is served below this one hides a part of it.
		others := func(url string) bool {
			for j := 0; j < len(trees); j += 2 {
				if j != i && trees[j] == url {
					return true
				}
			}
			return false
		}
		if err := s.notServed(ctx, trees[i], trees[i+1], others); err != nil {
			return err
		}
	}
	return nil
}

// sampleOf finds a file of a tree, and returns its path in the tree; "" if it finds none.
func sampleOf(fd int, hidden func(rest string) bool) string {
	var st unix.Stat_t
	if unix.Fstatat(fd, "TIME", &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		return "TIME"
	}
	dirs := []string{""}
	for n := 0; n < len(dirs) && n < servedDirs; n++ {
		in, err := inside(fd, dirs[n])
		if err != nil {
			continue
		}
		names, _ := list(in, servedNames)
		for _, name := range names {
			if name[0] == '.' || unix.Fstatat(in, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue
			}
			switch p := path.Join(dirs[n], name); {
			case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o004 != 0:
				closeFD(in)
				return p
			case st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o001 != 0 && !hidden(p):
				dirs = append(dirs, p)
			}
		}
		closeFD(in)
	}
	return ""
}

// inside opens a directory below another one, and follows no link.
func inside(fd int, rest string) (int, error) {
	in, err := open(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for _, name := range strings.Split(rest, "/") {
		if err != nil || name == "" {
			return in, err
		}
		next, e := open(in, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		closeFD(in)
		in, err = next, e
	}
	return in, err
}

// prefixOf reads the beginning of a file below a directory.
func prefixOf(fd int, rest string) (string, error) {
	in, err := inside(fd, strings.TrimSuffix(path.Dir(rest), "."))
	if err != nil {
		return "", err
	}
	defer closeFD(in)
	file, err := open(in, path.Base(rest), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer closeFD(file)
	buf := make([]byte, maxBody)
	n, err := unix.Pread(file, buf, 0)
	return string(buf[:max(n, 0)]), err
}

// fetch returns the status of a response and the beginning of its body, as bytes.
func (s *site) fetch(ctx context.Context, path string) (status int, body string, err error) {
	raw, _, err := s.exchange(ctx, path, false) // the request for the site has verified the certificate
	if err != nil {
		return 0, "", err
	}
	if status, _, err = parseResponse(raw); err != nil {
		return 0, "", err
	}
	_, body, _ = strings.Cut(string(raw), "\r\n\r\n")
	return status, body, nil
}

// escapeURL escapes a path for a request (RFC 3986, section 2.1).
func escapeURL(p string) string {
	var b strings.Builder
	for _, c := range []byte(p) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/._~-", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15]})
		}
	}
	return b.String()
}

// server is the program that answers for a site, with its name and what to look at in messages.
type server struct{ program, name, log string }

// server finds it by the port that it listens on.
func (s *site) server() server {
	_, port, _ := cutLast(s.address, ":")
	n, _ := strconv.Atoi(port)
	found, _ := listeners(map[int]bool{n: true}, false)
	holders(found)
	w := server{name: "the web server", log: "see its log"}
	for _, l := range found {
		switch l.Program {
		case "nginx":
			w.name, w.log = "nginx", "see /var/log/nginx/error.log and nginx -T"
		case "apache2", "httpd":
			w.name, w.log = "Apache", "see its error log and apachectl -S"
		case "caddy":
			w.name, w.log = "Caddy", "see journalctl -u caddy"
		default:
			continue
		}
		w.program = l.Program
	}
	return w
}

// answersElse is the advice about an answer that is not the site's.
func (s server) answersElse() string {
	return "another part of the configuration of " + s.name + " answers: " + s.log
}

// worker is a process of the web server that answers requests.
type worker struct {
	pid    string
	uid    uint32
	groups []string
}

// worker finds a process of the server: preferably one that does not run as root.
func (s server) worker() (w worker, ok bool) {
	pids, _ := listDir("/proc")
	for _, pid := range pids {
		if strings.Trim(pid, "0123456789") != "" || firstLine("/proc/"+pid+"/comm") != s.program {
			continue
		}
		status, err := readFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		found := worker{pid: pid}
		for line := range strings.Lines(string(status)) {
			f := strings.Fields(line)
			switch {
			case len(f) > 2 && f[0] == "Uid:":
				n, _ := strconv.ParseUint(f[2], 10, 32)
				found.uid = uint32(n)
			case len(f) > 2 && f[0] == "Gid:":
				found.groups = append(found.groups, f[2])
			case len(f) > 0 && f[0] == "Groups:":
				found.groups = append(found.groups, f[1:]...)
			}
		}
		if w, ok = found, true; w.uid != 0 {
			break
		}
	}
	return w, ok
}

// may reports whether a mode grants a process a permission (4 to read, 1 to enter). Access control
// lists are not read, so an entry with one may be judged wrongly.
func (w *worker) may(st *unix.Stat_t, bit uint32) bool {
	switch {
	case w.uid == 0:
		return true
	case st.Uid == w.uid:
		bit <<= 6
	case slices.Contains(w.groups, strconv.Itoa(int(st.Gid))):
		bit <<= 3
	}
	return st.Mode&bit != 0
}

// whyDenied explains a file that SELinux may keep from the web server, though its modes allow it.
func whyDenied(file string) string {
	labels := ""
	for p := file; p != "/"; p = path.Dir(p) {
		labels = ", " + p + " " + labelType(labelOf(p)) + labels
	}
	return "the modes allow it, and SELinux is enforcing. The types on the way are " + printable(labels[2:]) +
		"; web servers may read public_content_t and httpd_sys_content_t. To label the files as the policy says: restorecon -Rv " +
		printable(path.Dir(file)) + ". To see what was denied: ausearch -m AVC -ts recent"
}

// whyNot explains why a file that exists was answered with a status other than 200.
func (s server) whyNot(status int, file string) string {
	w, ok := s.worker()
	var st unix.Stat_t
	if ok {
		who := fmt.Sprintf("%s (user %d)", s.name, w.uid)
		data, _ := readFile("/etc/passwd") // without it, the message has only the number
		for _, u := range parsePasswd(data) {
			if u.uid == int(w.uid) {
				who = s.name + " (user " + printable(u.name) + ")"
				break
			}
		}
		for i, c := range file + "/" {
			if c != '/' || i == 0 {
				continue
			}
			p := file[:i]
			if unix.Stat(p, &st) != nil {
				continue
			}
			mode := fmt.Sprintf(" has mode 0%o, owner %d and group %d", st.Mode&0o7777, st.Uid, st.Gid)
			if st.Mode&unix.S_IFMT == unix.S_IFDIR && !w.may(&st, 1) {
				return "the directory " + p + mode + ", so " + who + " cannot enter it; to allow it: chmod o+x " + p
			}
			if p == file && !w.may(&st, 4) {
				return p + mode + ", so " + who + " cannot read it; to allow it: chmod o+r " + p
			}
		}
		// A unit may hide directories from its processes (systemd.exec(5)).
		if exists("/proc/"+w.pid+"/root/") && !exists("/proc/"+w.pid+"/root"+file) {
			return s.name + " does not see " + file + ": its unit hides the directory (ProtectHome, PrivateTmp, " +
				"InaccessiblePaths), or it was mounted after the start; after a mount: systemctl restart " + s.program
		}
	}
	if status == 403 && firstLine("/sys/fs/selinux/enforce") == "1" {
		return whyDenied(file)
	}
	if status == 403 {
		return "the modes allow it, so the configuration of " + s.name + " or an access control list forbids it: " + s.log
	}
	if status == 404 {
		return "the file exists, so " + s.answersElse()
	}
	return s.log
}
