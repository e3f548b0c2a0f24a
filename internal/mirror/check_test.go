package mirror

import (
	"os/exec"
	"strings"
	"testing"
)

func TestCheckOptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		ok    bool
	}{
		{"-avSH -f R --delete-delay", true},
		{"-fR --timeout=60 --contimeout 60 -T /srv/tmp", true},
		{"-4 --no-motd --stats --human-readable -@1", true},
		{"--exclude=--rsh=x", true},
		{"-fe", true}, // the e is the filter's
		{"-e ssh", false},
		{"-essh", false},
		{"-avze ssh", false},
		{"--rsh=ssh", false},
		{"--rsh ssh", false},
		{"--rsync-path=/x", false},
		{"-M--rsync-path=x", false},
		{"--remote-option=-x", false},
		{"--daemon", false},
		{"--server", false},
		{"--config=/x", false},
		{"--files-from=/x", false},
		{"-h", false},
		{"--", false},
		{"-", false},
		{"/etc", false},
		{"-av /etc", false},
		{"-f", false},
		{"--timeout", false},
		{"--filter a b", false},
		{"-a\x00", false},
		{"--timeout 6\x1b0", false},
	} {
		if err := checkOptions(strings.Split(c.words, " ")); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.words, err)
		}
	}
	if err := checkOptions([]string{""}); err == nil {
		t.Error("an empty option is taken")
	}
}

// The tables of options name all those of the rsync at hand that take an argument.
func TestOptionTables(t *testing.T) {
	t.Parallel()
	help, err := exec.Command("rsync", "--help").Output()
	if err != nil {
		t.Skipf("rsync is needed to compare with: %v", err)
	}
	compared := 0
	for line := range strings.Lines(string(help)) {
		for word := range strings.FieldsSeq(line) {
			if !strings.HasPrefix(word, "-") {
				break
			}
			long, ok := strings.CutPrefix(word, "--")
			name, _, hasValue := strings.Cut(long, "=")
			if !ok || !hasValue {
				continue
			}
			compared++
			wantsNext, err := checkOption("--" + name)
			if !wantsNext && err == nil {
				t.Errorf("--%s takes an argument", name)
			}
		}
	}
	if compared < 30 {
		t.Errorf("only %d options were found in rsync's help", compared)
	}
}

func TestCheckUpstream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url string
		ok  bool
	}{
		{"rsync://rsync.repo.almalinux.org/almalinux/", true},
		{"rsync://upstream/almalinux/", true},
		{"rsync://192.0.2.1:8730/pub/alma-linux_9+x/", true},
		{"rsync://[2001:db8::1]/almalinux/", true},
		{"rsync://[2001:db8::1]:873/almalinux/", true},
		{"rsync://rsync.repo.almalinux.org/almalinux", false},
		{"rsync://rsync.repo.almalinux.org/", false},
		{"rsync://rsync.repo.almalinux.org", false},
		{"rsync:///almalinux/", false},
		{"rsync://user@host/almalinux/", true},
		{"rsync://user$x@host/almalinux/", false},
		{"rsync://@host/almalinux/", false},
		{"rsync://secret@user@host/almalinux/", false},
		{"rsync://user:secret@host/almalinux/", false},
		{"rsync://-oProxyCommand=x/almalinux/", false},
		{"rsync://host:0/almalinux/", false},
		{"rsync://host:65536/almalinux/", false},
		{"rsync://host:/almalinux/", false},
		{"rsync://host/../almalinux/", false},
		{"rsync://host/a//b/", false},
		{"rsync://host/a*/", false},
		{"rsync://host/a%20b/", false},
		{"rsync://host/a b/", false},
		{"rsync://host/a?b/", false},
		{"rsync://host/a#b/", false},
		{"rsync://host/$(x)/", false},
		{"rsync://host/a\n/", false},
		{"rsync://ho\u202est/a/", false},
		{"RSYNC://host/a/", false},
		{"https://host/a/", false},
		{"ext::sh -c x", false},
		{"host::almalinux/", false},
		{"/srv/almalinux/", false},
	} {
		err := checkUpstream(c.url)
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the message shows the password: %v", c.url, err)
		}
	}
}

func TestCheckBandwidth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate string
		ok   bool
	}{
		{"0", true}, {"10m", true}, {"2.5m", true}, {"800k", true}, {"1000", true}, {"1G", true}, {"512b", true}, {"1KB", true}, {"10MiB", true}, {"0.5", true},
		{"", false}, {"-1", false}, {"fast", false}, {"10 m", false}, {"1e9", false}, {"10mb/s", false}, {"511b", false}, {"0.4k", false}, {"0.5KB", false},
		{"1ib", false}, {"1x", false}, {"1.m", false}, {".5m", false}, {"99999999999999999999", false}, {"10m\n", false}, {"0x10", false},
	} {
		err := checkBandwidth(c.rate)
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.rate, err)
		}
		// rsync itself is the judge of what is taken.
		if rsync, e := exec.LookPath("rsync"); e == nil && err == nil {
			if out, e := exec.Command(rsync, "--bwlimit="+c.rate, "--dry-run", t.TempDir()).CombinedOutput(); e != nil {
				t.Errorf("%q: rsync refuses it: %s", c.rate, out)
			}
		}
	}
}

func TestCheckPattern(t *testing.T) {
	t.Parallel()
	for pattern, ok := range map[string]bool{
		"*/isos/": true, "8.3 beta/": true, "it's": true, "-x": true, "%": true, `\*`: true,
		"": false, "!": false, "+ x": false, "- x": false, "a\nb": false, "a\x00": false, "\xff": false, "a\u202e": false,
	} {
		if err := checkPattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestWebAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"203.0.113.10": "203.0.113.10", "2001:DB8:0::1": "[2001:db8::1]", "[2001:db8::1]": "[2001:db8::1]", "::ffff:203.0.113.10": "203.0.113.10",
		"Host.Example.org": "host.example.org", "host": "host",
		"fe80::1%eth0": "", "": "", "a b": "", "a_b": "", "x; } server {": "", "-x": "",
	} {
		if got := webAddress(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
