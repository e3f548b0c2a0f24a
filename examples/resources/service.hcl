resource "service" "nginx" {
  hosts   = [host.web1, host.web2]
  name    = "nginx"
  enabled = true
  running = true
}

resource "service" "cron" {
  hosts   = [host.web1, host.web2]
  name    = target.facts.os.family == "el" ? "crond" : "cron"
  enabled = true
  running = true
}

# Restarted when its file changes, also when another program or user changed it.
resource "service" "rsyslog" {
  hosts      = [host.web1]
  name       = "rsyslog"
  running    = true
  restart_on = ["/etc/rsyslog.d/mirror.conf"]
}

resource "file" "rsyslog" {
  hosts   = [host.web1]
  path    = "/etc/rsyslog.d/mirror.conf"
  content = "local7.* /var/log/mirror.log\n"
}
