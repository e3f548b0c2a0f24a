package main

import (
	"context"
	"strings"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/rogpeppe/go-internal/testscript"
)

// familyFacts has what differs between families, for scripts.
var familyFacts = map[lab.Family][]string{
	lab.Debian: {
		"CRON_PACKAGE=cron", "CRON_UNIT=cron.service", "CRON_LOG=CRON", "CRONTABS=/var/spool/cron/crontabs",
		"CERTBOT_TIMER=certbot.timer", "CERTBOT_SERVICE=certbot.service",
		"RSYNCD_PACKAGE=rsync", "RSYNCD_UNIT=rsync.service",
		"NOGROUP=nogroup", "PACKAGES=dpkg-query -W", "REMOVE=apt-get -q -y remove",
	},
	lab.EL: {
		"CRON_PACKAGE=cronie", "CRON_UNIT=crond.service", "CRON_LOG=CROND", "CRONTABS=/var/spool/cron",
		"CERTBOT_TIMER=certbot-renew.timer", "CERTBOT_SERVICE=certbot-renew.service",
		"RSYNCD_PACKAGE=rsync-daemon", "RSYNCD_UNIT=rsyncd.service",
		"NOGROUP=nobody", "PACKAGES=rpm -qa | sort", "REMOVE=dnf -q -y remove",
	},
}

// serverFacts has what differs between web servers, where families agree.
var serverFacts = map[string][]string{
	"nginx": {
		"SERVER_NAME=nginx", "SERVER_PACKAGE=nginx", "SERVER_UNIT=nginx.service", "SERVER_CONF=/etc/nginx",
		"SERVER_SITES=/etc/nginx/conf.d/", "SERVER_SUFFIX=.conf", "SERVER_PART=", "SERVER_LOG=/var/log/nginx/access.log",
		"SERVER_CHECK=nginx -t", "SERVER_RELOAD=systemctl reload nginx", "SERVER_MODULES=",
	},
	"apache": {"SERVER_NAME=Apache", "SERVER_SUFFIX=.conf", "SERVER_PART=apache_"},
	"caddy": {
		"SERVER_NAME=Caddy", "SERVER_PACKAGE=caddy", "SERVER_UNIT=caddy.service", "SERVER_CONF=/etc/caddy",
		"SERVER_SITES=/etc/caddy/Caddyfile.d/", "SERVER_SUFFIX=.caddyfile", "SERVER_PART=caddy_",
		"SERVER_CHECK=runuser -u caddy -- caddy validate --config /etc/caddy/Caddyfile",
		"SERVER_RELOAD=caddy reload --force --config /etc/caddy/Caddyfile", "SERVER_MODULES=",
		"SERVER_OWN=/etc/caddy/Caddyfile", "SERVER_ACCOUNT=caddy",
	},
}

// serverOn has what differs between families for a web server, by SERVER FAMILY. SERVER_OWN is the
// file of an operator's site.
var serverOn = map[string][]string{
	"nginx debian": {"SERVER_OWN=/etc/nginx/sites-enabled/own", "SERVER_ACCOUNT=www-data"},
	"nginx el":     {"SERVER_OWN=/etc/nginx/conf.d/own.conf", "SERVER_ACCOUNT=nginx"},
	"apache debian": {
		"SERVER_PACKAGE=apache2", "SERVER_UNIT=apache2.service", "SERVER_CONF=/etc/apache2", "SERVER_SITES=/etc/apache2/sites-enabled/zz-",
		"SERVER_OWN=/etc/apache2/sites-enabled/own.conf", "SERVER_LOG=/var/log/apache2/access.log", "SERVER_CHECK=apache2ctl -t",
		"SERVER_RELOAD=systemctl reload apache2", "SERVER_MODULES=", "SERVER_ACCOUNT=www-data",
	},
	"apache el": {
		"SERVER_PACKAGE=httpd", "SERVER_UNIT=httpd.service", "SERVER_CONF=/etc/httpd", "SERVER_SITES=/etc/httpd/conf.d/zz-",
		"SERVER_OWN=/etc/httpd/conf.d/own.conf", "SERVER_LOG=/var/log/httpd/access_log", "SERVER_CHECK=httpd -t",
		"SERVER_RELOAD=systemctl reload httpd", "SERVER_MODULES=mod_ssl mod_http2", "SERVER_ACCOUNT=apache",
	},
}

// schedulerFacts has what differs between the values of sync.scheduler.
var schedulerFacts = map[string][]string{
	"cron":    {"SYNCS_BY=sync by cron", "RECORDED_BY=cron"},
	"systemd": {"SYNCS_BY=sync by timer", "RECORDED_BY=timer"},
}

// serverEnv returns the facts of a web server.
func serverEnv(server string, family lab.Family) []string {
	return append(serverFacts[server][:len(serverFacts[server]):len(serverFacts[server])], serverOn[server+" "+string(family)]...)
}

// serverName returns the name of a web server, as the matrix has it.
func serverName(server string) string {
	for _, fact := range serverFacts[server] {
		if name, ok := strings.CutPrefix(fact, "SERVER_NAME="); ok {
			return name
		}
	}
	return ""
}

// factsOf returns the environment that the values of a variant's variables stand for. A change from
// one server to another has what differs as FROM_… and TO_….
func factsOf(values map[string]string) []string {
	family := lab.OS(values["os"]).Family()
	env := append([]string{"FAMILY=" + string(family)}, familyFacts[family]...)
	env = append(env, schedulerFacts[values["scheduler"]]...)
	env = append(env, serverEnv(values["server"], family)...)
	from, to, _ := strings.Cut(values["change"], "-")
	for end, server := range map[string]string{"FROM": from, "TO": to} {
		if server == "" {
			continue
		}
		env = append(env, end+"="+server)
		for _, v := range serverEnv(server, family) {
			env = append(env, strings.Replace(v, "SERVER", end, 1))
		}
	}
	return env
}

// inEPEL are packages that EL has in EPEL alone.
var inEPEL = map[string]bool{"caddy": true, "certbot": true}

// install installs packages on a host, with its package manager: install HOST PACKAGE…
// Each word may have several, separated by spaces.
func install(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: install HOST PACKAGE…")
	}
	h, packages := hostOf(ts, args[0]), strings.Fields(strings.Join(args[1:], " "))
	runs := [][]string{append([]string{"apt-get", "-q", "-y", "install"}, packages...)}
	if h.OS.Family() == lab.EL {
		runs = nil
		for _, name := range packages {
			if inEPEL[name] {
				runs = [][]string{{"dnf", "-q", "-y", "install", "epel-release"}}
			}
		}
		runs = append(runs, append([]string{"dnf", "-q", "-y", "install"}, packages...))
	}
	for _, argv := range runs {
		if out, err := h.Run(context.Background(), argv...); err != nil {
			ts.Fatalf("%s on %s: %s: %v", strings.Join(argv, " "), args[0], out, err)
		}
	}
}
