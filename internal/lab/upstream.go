package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Upstream is a real rsync daemon with a miniature AlmaLinux tree, on the lab's gateway address. On
// hosts, "upstream" and the names of AlmaLinux's servers resolve to it.
type Upstream struct {
	Address string // IPv4
	Port    int    // 873, rsync's default
	Dir     string // directory of the modules; tests may change the files
	LogPath string // rsyncd's log, with a line for each connection and sent file
}

// The modules of the upstream, named like those of AlmaLinux's servers.
const (
	ModuleAlmaLinux = "almalinux"
	ModuleKitten    = "almalinux-kitten"
)

// URL returns the rsync URL of a module, with a trailing slash.
func (u *Upstream) URL(module string) string {
	return fmt.Sprintf("rsync://%s/%s/", u.Address, module)
}

// Path returns the path of a module's file on the machine.
func (u *Upstream) Path(module, file string) string {
	return filepath.Join(u.Dir, module, file)
}

const rsyncPort = 873

// Upstream starts the lab's upstream, or returns the running one. The upstream ends with the lab.
func (l *Lab) Upstream(ctx context.Context) (*Upstream, error) {
	var u *Upstream
	err := l.update(ctx, func(s *state) error {
		u = &Upstream{Address: l.Gateway, Port: rsyncPort, Dir: filepath.Join(l.data, ".upstream"),
			LogPath: filepath.Join(l.dir, "rsyncd.log")}
		if s.Upstream != nil && s.Upstream.Process.alive() {
			return nil
		}
		if err := makeMirrorTree(u.Dir); err != nil {
			return err
		}
		daemon, err := l.startRsync(ctx, u)
		if err != nil {
			return err
		}
		s.Upstream = &upstreamState{Process: daemon, Address: u.Address, Dir: u.Dir}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("starting the upstream of lab %s: %w", l.Name, err)
	}
	return u, nil
}

// startRsync starts rsync --daemon (rsyncd.conf(5)) and waits until it listens.
func (l *Lab) startRsync(ctx context.Context, u *Upstream) (process, error) {
	var conf strings.Builder
	fmt.Fprintf(&conf, "use chroot = yes\nuid = nobody\ngid = nogroup\nread only = yes\nlist = "+
		"yes\nmax connections = 200\n"+
		"transfer logging = yes\nlog file = %s\npid file = %s\nlock file = %s\n",
		u.LogPath, filepath.Join(l.dir, "rsyncd.pid"), filepath.Join(l.dir, "rsyncd.lock"))
	for _, module := range []string{ModuleAlmaLinux, ModuleKitten} {
		fmt.Fprintf(&conf, "\n[%s]\npath = %s\ncomment = a miniature of AlmaLinux's %s\n", module,
			filepath.Join(u.Dir, module), module)
	}
	file := filepath.Join(l.dir, "rsyncd.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		return process{}, err
	}
	// The daemon does not start if a killed daemon has left its PID file.
	if err := os.Remove(filepath.Join(l.dir, "rsyncd.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return process{}, err
	}
	daemon, err := l.daemon(ctx, ".upstream", filepath.Join(l.dir, "rsyncd.stderr"), nil,
		func() bool { return rsyncAnswers(ctx, u) },
		"rsync", "--daemon", "--no-detach", "--config="+file, "--address="+u.Address, fmt.Sprintf("--port=%d", u.Port))
	if err != nil {
		logged, _ := os.ReadFile(u.LogPath)
		return process{}, fmt.Errorf("%w %s", err, lastLines(string(logged), 10))
	}
	return daemon, nil
}

func rsyncAnswers(ctx context.Context, u *Upstream) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(u.Address, fmt.Sprint(u.Port)))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	greeting := make([]byte, 8)
	_, err = conn.Read(greeting)
	return err == nil && string(greeting) == "@RSYNCD:"
}

// repomd returns the index of a repository that has only primary metadata, in repodata/primary.xml.
func repomd(primary string) string {
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <revision>1700000000</revision>
  <data type="primary">
    <checksum type="sha256">%x</checksum>
    <location href="repodata/primary.xml"/>
    <timestamp>1700000000</timestamp>
    <size>%d</size>
  </data>
</repomd>
`, sha256.Sum256([]byte(primary)), len(primary))
}

// makeMirrorTree creates the miniature tree. Like the real tree it has release links, hard links,
// an ISO larger than a block, and leftovers of rsync --delay-updates, which must not be mirrored.
func makeMirrorTree(dir string) error {
	files := map[string]string{}
	add := func(module string, releases ...string) {
		files[module+"/TIME"] = "1700000000\n"
		for _, release := range releases {
			for _, repo := range []string{"BaseOS", "AppStream"} {
				tree := module + "/" + release + "/" + repo + "/x86_64/os/"
				primary := "<metadata xmlns=\"http://linux.duke.edu/metadata/common\" packages=\"0\"><!-- " + release + " " +
					repo + " --></metadata>\n"
				files[tree+"repodata/primary.xml"] = primary
				files[tree+"repodata/repomd.xml"] = repomd(primary)
				files[tree+"Packages/"+strings.ToLower(repo)+"-release-"+release+"-1.el.x86_64.rpm"] = strings.Repeat(release+" "+repo+" package\n", 500)
			}
			files[module+"/"+release+"/isos/x86_64/CHECKSUM"] = "the checksums of " + release + "\n"
			files[module+"/"+release+"/isos/x86_64/AlmaLinux-"+release+"-x86_64-boot.iso"] = strings.Repeat(release+" boot image ", 50_000)
		}
	}
	add(ModuleAlmaLinux, "8.10", "9.8")
	add(ModuleKitten, "10-kitten")
	files[ModuleAlmaLinux+"/8.10/BaseOS/x86_64/os/repodata/.~tmp~/repomd.xml"] = "not yet finished\n"
	files[ModuleAlmaLinux+"/.~tmp~/TIME"] = "not yet finished\n"
	stamp := time.Unix(1_700_000_000, 0)
	for name, data := range files {
		if err := writeTreeFiles(dir, []treeFile{{name, 0o644, data}}); err != nil {
			return err
		}
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			return err
		}
	}
	rpm := "/Packages/baseos-release-8.10-1.el.x86_64.rpm"
	links := []struct {
		make     func(from, to string) error
		old, new string
	}{
		{os.Symlink, "8.10", filepath.Join(dir, ModuleAlmaLinux, "8")},
		{os.Symlink, "9.8", filepath.Join(dir, ModuleAlmaLinux, "9")},
		{os.Link, filepath.Join(dir, ModuleAlmaLinux, "8.10/BaseOS/x86_64/os", rpm),
			filepath.Join(dir, ModuleAlmaLinux, "8.10/AppStream/x86_64/os", rpm)},
	}
	for _, link := range links {
		if err := link.make(link.old, link.new); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}
