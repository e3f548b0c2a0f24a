package mirror

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/internal/syncjob/settings"
	"github.com/mirrorform/mirrorform/resources"
)

// proxyAddress is what rsync reads from RSYNC_PROXY, without the password that it also accepts: all
// users of the host can see the command.
var proxyAddress = regexp.MustCompile(`^([A-Za-z0-9._+-]{1,64}@)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[1-9][0-9]{0,4}$`)

// timeLimit is a duration of timeout(1).
var timeLimit = regexp.MustCompile(`^[1-9][0-9]{0,4}[smhd]$`)

// ioClasses are arguments of ionice(1) for the values of io_class.
var ioClasses = map[string][]string{"idle": {"-c", "3"}, "best-effort": {"-c", "2", "-n", "7"}}

// checkAround checks what a block sets of the command around rsync.
func (x *settling) checkAround(j *job, s Sync) {
	x.checkProxy(j, s)
	if s.Nice != nil && (*s.Nice < 1 || *s.Nice > 19) {
		x.errorf(j.attribute("nice"), "use a number from 1 to 19, the lowest priority", "invalid priority %d", *s.Nice)
	}
	if s.IOClass != "" && ioClasses[s.IOClass] == nil {
		x.choice(j.attribute("io_class"), s.IOClass, "idle", "best-effort")
	}
	if s.TimeLimit != "" && !timeLimit.MatchString(s.TimeLimit) {
		x.errorf(j.attribute("time_limit"), "use minutes, hours or days, such as 90m or 8h", "invalid time limit %q", s.TimeLimit)
	}
}

// checkProxy checks the address of the proxy, and that its account has a password. No message has
// either.
func (x *settling) checkProxy(j *job, s Sync) {
	password := j.attribute("proxy_password")
	switch account := strings.Contains(s.Proxy, "@"); {
	case s.Proxy != "" && !proxyAddress.MatchString(s.Proxy):
		x.errorf(j.attribute("proxy"), "use HOST:PORT or ACCOUNT@HOST:PORT, such as proxy.example.org:3128, and set a password as "+password,
			"invalid address of a proxy")
	case account && s.ProxyPassword == "":
		x.errorf(j.attribute("proxy"), "set "+password+", for example to a variable with sensitive = true",
			"the proxy has an account, and no password")
	case !account && s.ProxyPassword != "":
		x.errorf(password, "write the account into the address: ACCOUNT@HOST:PORT", "the proxy has no account for the password")
	case account:
		x.report(password, checkSecretLine(s.ProxyPassword))
	}
}

// settleProxy settles a proxy with a password. The program has it in a file, and gives it to rsync
// in the environment, the only way that rsync knows.
func (j *job) settleProxy(s Sync) {
	if s.ProxyPassword == "" {
		return
	}
	account, address, _ := strings.Cut(s.Proxy, "@")
	j.proxy = account + ":" + s.ProxyPassword + "@" + address
	j.settings.Proxy = settings.Dir + "/" + j.name() + ".proxy"
}

// around returns the command that runs rsync: with a proxy, or with less priority.
func around(s Sync) (argv []string) {
	if s.Proxy != "" && s.ProxyPassword == "" {
		argv = append(argv, "/usr/bin/env", "RSYNC_PROXY="+s.Proxy)
	}
	if s.Nice != nil {
		argv = append(argv, "/usr/bin/nice", "-n", strconv.Itoa(*s.Nice))
	}
	if s.IOClass != "" {
		argv = append(append(argv, "/usr/bin/ionice"), ioClasses[s.IOClass]...)
	}
	return argv
}

// passwordFile returns the path of the job's password. rsync reads its first line, and refuses a
// file that other users can read.
func (j *job) passwordFile() string { return settings.Dir + "/" + j.name() + ".password" }

// checkPassword checks that an upstream with an account has a password, and the other way round.
// No message has the password.
func (x *settling) checkPassword(j *job, s Sync) {
	accounts := 0
	for _, u := range append([]string{j.settings.Upstream}, j.settings.Fallback...) {
		if authority, _, _ := strings.Cut(strings.TrimPrefix(u, "rsync://"), "/"); strings.Contains(authority, "@") && checkUpstream(u) == nil {
			accounts++
		}
	}
	attribute := j.attribute("password")
	switch {
	case len(s.From) > 0 && s.Password != "":
		x.errorf(attribute, "remove it", "a hub serves the tree without a password")
	case accounts > 0 && s.Password == "":
		x.errorf(j.attribute("upstream"), "set "+attribute+", for example to a variable with sensitive = true",
			"the upstream has an account, and no password")
	case accounts == 0 && s.Password != "":
		x.errorf(attribute, "write the account into the URL: rsync://ACCOUNT@HOST/MODULE/", "the upstream has no account for the password")
	case s.Password != "":
		x.report(attribute, checkSecretLine(s.Password))
	}
}

// checkSecretLine refuses a secret that is not one line, without a message that repeats it.
func checkSecretLine(s string) error {
	switch {
	case checkText(s) != nil || strings.HasPrefix(s, "#") || strings.HasPrefix(s, ";"):
		return errors.New("it must be one line of text that begins with neither # nor ;")
	case len(s) > 500:
		return errors.New("it is longer than 500 bytes")
	}
	return nil
}

// secret adds a file with a secret. Only the account can read it.
func (x syncing) secret(j *job, part, file, content, attribute string) {
	x.add(engine.Part{
		Name: j.part(part), Type: "file", DependsOn: x.existing("user", "sync_settings_directory"), Sensitive: map[string]bool{"content": true},
		State: &resources.File{Path: file, Content: &content, Owner: x.user, Group: x.user, Mode: "0600"},
	}, map[string]string{"content": attribute, "owner": "user", "group": "user"})
}
