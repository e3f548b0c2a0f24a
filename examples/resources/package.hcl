resource "package" "nginx" {
  hosts = [host.web1, host.web2]
  name  = "nginx"
}

resource "package" "cron" {
  hosts = [host.web1, host.web2]
  name  = "cron"
  names = { el = "cronie" }
}

resource "package" "ca_certificates" {
  hosts = [host.web1, host.web2]
  name  = "ca-certificates"
  state = "latest"
}

resource "package" "telnet" {
  hosts = [host.web1, host.web2]
  name  = "telnet"
  state = "absent"
}
