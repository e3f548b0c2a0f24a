resource "file" "motd" {
  hosts   = [host.web1, host.web2]
  path    = "/etc/motd"
  content = "Mirror ${target.name} on ${target.facts.os.name}\n"
}

# From a file next to the configuration, checked by the program that will read it.
resource "file" "sudoers" {
  hosts    = [host.web1]
  path     = "/etc/sudoers.d/mirror"
  source   = "files/sudoers"
  owner    = "root"
  group    = "root"
  mode     = "0440"
  validate = ["/usr/sbin/visudo", "--check", "--file", "{}"]
}

# Owner and mode of a file whose content another program writes.
resource "file" "report_log" {
  hosts = [host.web1, host.web2]
  path  = "/var/log/mirror-report.log"
  owner = "mirror"
  group = "mirror"
  mode  = "0640"
}
