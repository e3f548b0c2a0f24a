package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

// block describes a block of the mirror block by its path: "mirror", "storage", "kitten",
// "publish.geolocation".
func (g *generator) block(path string) (string, error) {
	structs, err := parseStructs(filepath.Join(g.root, "internal", "mirror"), "hcl")
	if err != nil {
		return "", err
	}
	s := structs[reflect.TypeFor[mirror.Spec]().Name()]
	for _, name := range strings.Split(path, ".") {
		if name == "mirror" {
			continue
		}
		next := ""
		for _, f := range s.fields {
			if f.name == name {
				next = f.kind
			}
		}
		if s = structs[next]; s == nil {
			return "", fmt.Errorf("the mirror block has no block %q", path)
		}
	}
	return attributeTable(s.fields), nil
}

// partPurpose is the purpose of each part of a mirror, and when a mirror has it. Kitten's parts are
// those of the same name without the prefix.
var partPurpose = map[string]string{
	"storage":            "checks the size of the file system; everything else on the host waits for it",
	"group":              "the group of that account; not for `user = \"root\"`",
	"user":               "the account that the sync runs as; not for `user = \"root\"`",
	"filesystem_package": "provides mkfs and the repair tools; with `storage.device`",
	"mount_point":        "the directory that the device is mounted on; with `storage.device`",
	"filesystem":         "created on an empty device only; with `storage.device`",
	"mount":              "mounted now, and at boot by fstab; with `storage.device`",
	"tree":               "the claim to the directory of the mirror's files, which a sync checks first; `destroy` keeps the files",
	"directory":          "the directory of the mirror's files; not if it is the mount point itself",
	"selinux_package":    "provides semanage; where SELinux is enabled and not with `selinux = false`, as the next one",
	"selinux":            "the type of the mirror's directory and of everything in it; see [selinux.md](selinux.md)",
	"rsync":              "the rsync program",
	"lock":               "the file that `flock` locks; only the account can open it",
	"lock_at_boot":       "creates the lock at each boot (tmpfiles.d); only for a lock in `/run`",
	"log":                "rsync's output; not with `log = \"\"`",
	"logrotate_package":  "not with `log = \"\"`",
	"logrotate":          "weekly, eight old files; not with `log = \"\"`",
	"sync_state":         "the directory of the records",
	"sync_status":        "a line for each sync: time, result and amount",
	"sync_output":        "rsync's output, if `mirrorform sync` started it",
	"sync_hold":          "not empty while syncs are held",
	"sync_password":      "the password of the upstream's account; with `sync.password`, only the account can read it",
	"curl":               "with `sync.notify.url` or `ping`, as the next two; not on EL, whose core has it",
	"sync_notify_url":    "the URL, as a configuration of curl that only the account can read",
	"sync_ping":          "the same for the ping",
	"sync_metrics_file":  "the metrics, which each sync replaces; with `sync.metrics`, as the next one",
	"sync_metrics":       "leads the node exporter to them",
	"timer_service":      "runs a sync; with `scheduler = \"systemd\"`, as the next two, instead of those of cron",
	"timer_unit":         "starts it",
	"timer":              "the scheduled sync",
	"sync_script":        "runs a sync by hand: the first one, or one between those of cron",

	"sync_metrics_directory":  "the directory of the metrics; with `sync.metrics`",
	"sync_program_directory":  "the directory of the sync program",
	"sync_program":            "runs syncs and records their results; all mirrors of the host share it",
	"sync_settings_directory": "the directory of the sync settings",
	"sync_settings":           "the settings of this mirror for the program; only root and the account can read it",

	"cron_package":              "`cronie` on EL",
	"cron_service":              "`crond` on EL",
	"cron":                      "the scheduled sync",
	"nginx":                     "not with `server = \"none\"`",
	"nginx_service":             "not with `server = \"none\"`",
	"firewall_http":             "opens port 80 where a firewall is active; not with `firewall = false`, as the next one",
	"firewall_https":            "the same for port 443, with `web.tls`; other ports have their number: `firewall_8443_tcp`",
	"site":                      "serves the mirror's files; not with `server = \"none\"`",
	"openssl":                   "asks the site over HTTPS; with `web.tls`",
	"certbot":                   "on EL from EPEL, which the part `epel` adds; with `web.tls.acme`, as the next two",
	"acme_webroot":              "the directory from which the site answers a CA",
	"certificate_timer":         "renews the certificate; `certbot-renew.timer` on EL",
	"certificate":               "requested after everything else was applied; with `web.tls.acme`",
	"tls_site":                  "the site over HTTPS, with all trees of `site`; with `web.tls.acme`",
	"certificate_reload":        "the systemd service that makes nginx load a renewed certificate; with `web.tls`, as the next two",
	"certificate_watch":         "the systemd path unit that watches the certificate and its key",
	"certificate_watch_service": "watches from now on, and after each boot",
	"publish":                   "the entry for AlmaLinux's mirrors.d, on host `local`; with a `publish` block",
}

// parts lists the parts of a mirror that has every block.
func (g *generator) parts() (string, error) {
	spec := guideSpec("classic", true)
	spec.Storage.Path, spec.Storage.Device, spec.Storage.MountPoint = "/srv/mirror/almalinux", "/dev/disk/by-id/ID", "/srv/mirror"
	spec.Kitten.Path = "/srv/mirror/almalinux-kitten"
	spec.Publish = &mirror.Publish{Sponsor: "Example Org", SponsorURL: "https://example.org", Email: "mirror@example.org"}
	spec.Web = &mirror.Web{
		ServerName: "fra1.mirror.example.org", TLS: &mirror.TLS{ACME: &mirror.ACME{Email: "mirror@example.org"}},
	}
	parts, err := expand(spec)
	if err != nil {
		return "", err
	}
	spec.Kitten = nil
	spec.Sync = &mirror.Sync{Scheduler: "systemd", Upstream: []string{"rsync://mirror@rsync.example.org/almalinux/"}, Password: "word",
		Metrics: "/var/lib/prometheus/node-exporter/almalinux.prom", Notify: &mirror.Notify{URL: "https://example.org", Ping: "https://example.org"}}
	more, err := expand(spec)
	if err != nil {
		return "", err
	}
	var rows [][]string
	known := map[string]bool{}
	for _, p := range append(parts, more...) {
		if known[p.Name] {
			continue
		}
		purpose, ok := partPurpose[p.Name]
		if main, isKitten := strings.CutPrefix(p.Name, "kitten_"); isKitten {
			purpose, ok = "as `"+main+"`, for Kitten", partPurpose[main] != ""
		}
		if !ok {
			return "", fmt.Errorf("the part %s has no entry in partPurpose", p.Name)
		}
		known[p.Name] = true
		keep := p.Keep
		if keep == "" {
			keep = (&engine.Resource{Kind: resources.All().Kind(p.Type)}).Kept()
		}
		thing := identity(p.State)
		if p.Local {
			thing = strings.TrimPrefix(thing, "/") // relative to the configuration
		}
		rows = append(rows, []string{code(p.Name), code(p.Type), code(thing), purpose, keep})
	}
	for name := range partPurpose {
		if !known[name] {
			return "", fmt.Errorf("partPurpose has %s, which is not a part of any mirror", name)
		}
	}
	return table([]string{"Part", "Type", "On the host", "Purpose, and when", "Kept by `destroy`, since"}, rows), nil
}

// identity is the value of the attribute that identifies a state's resource on the host.
func identity(state any) string {
	v := reflect.ValueOf(state).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("id") == "true" {
			return v.Field(i).String()
		}
	}
	return ""
}

// expand expands a mirror block named almalinux on an example host.
func expand(spec *mirror.Spec) ([]engine.Part, error) {
	parts, problems := mirror.Expand(resources.All(), "almalinux", spec, engine.Site{
		Target: engine.Target{Name: "fra1", Facts: wire.Facts{SELinux: "enforcing", SELinuxPolicy: "targeted"}}, Address: "203.0.113.10", Dir: "/",
	})
	var errs []error
	for _, p := range problems {
		if p.Severity == engine.Error {
			errs = append(errs, fmt.Errorf("%s: %s", p.Attribute, p))
		}
	}
	return parts, errors.Join(errs...)
}

// guideSpec is the shortest mirror block that follows an edition of the guide.
func guideSpec(guide string, kitten bool) *mirror.Spec {
	spec := &mirror.Spec{Guide: guide, Storage: mirror.Storage{Path: "/DIR"}}
	if kitten {
		spec.Kitten = &mirror.Kitten{Path: "/DIR-kitten"}
	}
	return spec
}

var interval = regexp.MustCompile(`^[0-9]+ \*/([0-9]+) \* \* \*$`)

// guides compares the editions of the guide by the mirror that each leads to.
func (g *generator) guides() (string, error) {
	rows := [][]string{
		{"`storage.minimum`"}, {"the same with a `kitten` block"}, {"`storage.recommended`"}, {"the same with a `kitten` block"},
		{"`sync.every`"}, {"`sync.flags`"}, {"`sync.upstream`"}, {"`sync.lock`"}, {"`kitten.sync.upstream`"}, {"`kitten.sync.lock`"},
	}
	header := []string{"Value"}
	for i, guide := range []string{"classic", "current"} {
		name := "`guide = \"" + guide + "\"`"
		if i == 0 {
			name += ", the default"
		}
		header = append(header, name)
		plain, err := guideValues(guide, false)
		if err != nil {
			return "", err
		}
		kitten, err := guideValues(guide, true)
		if err != nil {
			return "", err
		}
		for n, v := range []string{
			plain["minimum"], kitten["minimum"], plain["recommended"], kitten["recommended"], plain["every"], plain["flags"],
			plain["upstream"], plain["lock"], kitten["kitten_upstream"], kitten["kitten_lock"],
		} {
			if v == "" {
				return "", fmt.Errorf("guide %s has no value for %s", guide, rows[n][0])
			}
			rows[n] = append(rows[n], "`"+v+"`")
		}
	}
	return table(header, rows), nil
}

// guideValues reads an edition's values from the parts of a mirror.
func guideValues(guide string, kitten bool) (map[string]string, error) {
	parts, err := expand(guideSpec(guide, kitten))
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, p := range parts {
		switch state := p.State.(type) {
		case *resources.Storage:
			values["minimum"], values["recommended"] = state.Minimum, state.Recommended
		case *resources.Cron:
			prefix := strings.TrimSuffix(p.Name, "cron")
			command := strings.Fields(strings.TrimPrefix(state.Command[4], "/usr/bin/rsync "))
			at := slices.IndexFunc(command, func(word string) bool { return strings.HasPrefix(word, "rsync://") })
			flags, upstream := command[:at], command[at]
			values[prefix+"lock"], values[prefix+"upstream"] = state.Command[2], upstream
			values[prefix+"flags"] = strings.Join(flags, " ")
			if m := interval.FindStringSubmatch(state.Schedule); m != nil {
				values[prefix+"every"] = m[1] + "h"
			}
		}
	}
	return values, nil
}

// written is what a resource of an example configuration writes to an empty host, with its path.
// name is the address of the resource without its host.
func (g *generator) written(example, host, name string) (string, error) {
	c, err := loadExample(filepath.Join(g.root, example))
	if err != nil {
		return "", err
	}
	facts := map[string]*wire.Facts{}
	for _, h := range c.Hosts() {
		facts[h.Name] = &wire.Facts{OS: wire.OSFacts{ID: "debian", Family: "debian"}, Packages: "apt", Systemd: true}
	}
	list, diags := c.Resources(host, facts)
	if diags.HasErrors() {
		return "", diags
	}
	target := engine.Target{Name: host, Facts: *facts[host]}
	for _, r := range list {
		if r.Address.String() != host+"/"+name {
			continue
		}
		queries := engine.Questions(target, []*engine.Resource{r})
		answers := make([]wire.Answer, len(queries))
		for i := range answers {
			answers[i] = wire.Answer{File: &wire.File{Kind: wire.Absent}, Unit: &wire.Unit{LoadState: "not-found"}, HTTP: &wire.HTTP{}, Listeners: &wire.Listeners{}}
		}
		got, err := engine.NewAnswers(queries, answers)
		if err != nil {
			return "", err
		}
		plan := engine.Compare(target, []*engine.Resource{r}, got)
		for _, change := range plan.Changes {
			for _, step := range change.Steps {
				if w := step.Do.Write; w != nil {
					language := ""
					if strings.HasSuffix(w.Path, ".yml") {
						language = "yaml"
					}
					return "`" + shown(g.root, example, w.Path) + "`:\n\n" + fenced(language, string(w.Content)), nil
				}
			}
		}
		return "", fmt.Errorf("%s does not write a file", r.Address)
	}
	return "", fmt.Errorf("%s has no resource %s on %s", example, name, host)
}

// shown is a path without the directory of an example.
func shown(root, example, path string) string {
	return strings.TrimPrefix(path, filepath.Join(root, example)+string(filepath.Separator))
}
