# Ten resources of seven types per unit: two units are 20 resources, twenty units are 200 resources.

variable "units" {
  type = number

  validation {
    condition     = var.units <= length(local.installed)
    error_message = "Each unit needs its own package."
  }
}

locals {
  # Packages that every Debian-like host has.
  installed = [
    "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "grep", "gzip", "hostname",
    "libc-bin", "login", "ncurses-base", "ncurses-bin", "perl-base", "sed", "sudo", "systemd", "tar", "util-linux",
  ]

  units = { for i in range(var.units) : format("%02d", i) => local.installed[i] }
  files = { for pair in setproduct(keys(local.units), ["a", "b", "c", "d"]) : "${pair[0]}-${pair[1]}" => pair }
}

resource "directory" "unit" {
  for_each = local.units
  hosts    = host
  path     = "/srv/bench-${each.key}"
  owner    = "root"
  group    = "root"
  mode     = "0755"
}

resource "file" "unit" {
  for_each = local.files
  hosts    = host
  path     = "/srv/bench-${each.value[0]}/${each.value[1]}"
  content  = join("", [for i in range(16) : "Line ${i} of file ${each.key} on ${target.name}, as long as such lines are.\n"])
  owner    = "root"
  group    = "root"
  mode     = "0640"
}

resource "symlink" "unit" {
  for_each = local.units
  hosts    = host
  path     = "/srv/bench-${each.key}/link"
  target   = "a"
}

resource "group" "unit" {
  for_each = local.units
  hosts    = host
  name     = "bench-${each.key}"
  system   = true
}

resource "user" "unit" {
  for_each = local.units
  hosts    = host
  name     = "bench-${each.key}"
  group    = "bench-${each.key}"
  home     = "/"
  shell    = "/usr/sbin/nologin"
  system   = true
}

resource "cron" "unit" {
  for_each = local.units
  hosts    = host
  name     = "bench-${each.key}"
  schedule = "17 3 * * *"
  user     = "bench-${each.key}"
  command  = ["/usr/bin/true", "--unit", each.key]
}

resource "package" "unit" {
  for_each = local.units
  hosts    = host
  name     = each.value
}
