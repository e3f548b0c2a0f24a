package syncjob

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// notifyTime is how long a notification may take.
const notifyTime = 30 * time.Second

// notify reports that syncs begin to fail, or that they work again, and each success to the ping.
// What could not be sent is recorded, and sent after the next sync. No failure of a notification is
// one of the sync. past is the last sync that was not stopped. The result is the names of what was
// not sent, in quotes.
func (j *job) notify(past entry, status int) (unsent string) {
	if stopped(status) {
		return strings.TrimRight(past.unsent, "]}\n")
	}
	for fd := 3; fd < 10; fd++ {
		unix.CloseOnExec(fd) // flock(1) passes on the lock, which programs in the background would keep
	}
	failed := !succeeded(status)
	changed := failed != (past.start != 0 && !succeeded(past.exit))
	host, _ := os.Hostname()
	event, subject := "recovered", "mirror "+j.name+" on "+host+": syncs work again"
	text := subject
	if failed {
		event, subject = "failed", "mirror "+j.name+" on "+host+": syncs fail"
		text = subject + " with status " + strconv.Itoa(status) + ": " + ascii(j.why)
	}
	facts := []string{"EVENT", event, "HOST", host, "MIRROR", j.name, "DIRECTORY", ascii(j.Directory), "STATUS", strconv.Itoa(status), "MESSAGE", text}
	send := func(name, to, stdin string, argv ...string) {
		if to == "" || name != "ping" && !changed && !strings.Contains(past.unsent, name) {
			return
		}
		if err := inform(argv, stdin, facts); err != nil {
			j.complain("the notification by " + name + " failed: " + err.Error())
			unsent = strings.TrimPrefix(unsent+`,"`+name+`"`, ",")
		}
	}
	body := `{"text":` + strconv.Quote(text)
	for i := 0; i < len(facts)-2; i += 2 {
		body += `,"` + strings.ToLower(facts[i]) + `":` + strconv.Quote(facts[i+1])
	}
	send("on_failure", strings.Join(j.OnFailure, ""), text+"\n", j.OnFailure...)
	send("mail", j.Mail, "To: "+j.Mail+"\nSubject: "+subject+"\n\n"+text+"\n", "/usr/sbin/sendmail", "-t", "-i")
	send("url", j.URL, body+"}", "/usr/bin/curl", "-q", "--config", j.URL)
	if !failed {
		send("ping", j.Ping, "", "/usr/bin/curl", "-q", "--config", j.Ping)
	}
	return unsent
}

// ascii returns text that needs no escapes of JSON but those that Go has as well.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// inform runs a program with facts in its environment, for a limited time.
func inform(argv []string, stdin string, facts []string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.SysProcAttr, cmd.Env = strings.NewReader(stdin), &syscall.SysProcAttr{Setpgid: true}, os.Environ()
	for i := 0; i < len(facts); i += 2 {
		cmd.Env = append(cmd.Env, "MIRRORFORM_"+facts[i]+"="+facts[i+1])
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	end := time.AfterFunc(notifyTime, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer end.Stop()
	return cmd.Wait()
}
