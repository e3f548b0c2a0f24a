# A fleet of AlmaLinux mirrors. All *.hcl files of this directory make one configuration.
#
#   mirrorform validate    check it without touching a host
#   mirrorform plan        show what would change on the hosts
#   mirrorform apply       change it

# A value that differs from one set-up to the next. Give it in mirrorform.hclvars (sponsor = "…"), as --var sponsor=…,
# or in the environment as MIRRORFORM_VAR_sponsor.
variable "sponsor" {
  type        = string
  description = "Who pays for the mirrors, as AlmaLinux's mirror list shows it"
  default     = "Example Org"
}

# A server that becomes a mirror. mirrorform reaches it by SSH with your agent or key files.
host "mirror1" {
  address = "203.0.113.10"
  # user   = "admin"
  # become = "sudo"         # when you do not log in as root: "sudo" or "doas"
  labels = { country = "DE" }
}

# Several alike: these are host.edge["ams"] and host.edge["sin"].
# host "edge" {
#   for_each = { ams = "203.0.113.20", sin = "203.0.113.30" }
#   address  = each.value
# }

mirror "almalinux" {
  hosts = [host.mirror1]

  # The guide gives the defaults: "classic", or "current" with other rsync flags and sizes.
  # guide = "current"

  storage {
    path = "/srv/mirror/almalinux"

    # An empty device: a file system is made on it, mounted and entered in fstab. One that holds anything is refused.
    # device     = "/dev/disk/by-id/…"
    # filesystem = "xfs"
  }

  sync {
    every = "3h"
    # bandwidth = "50m"
    # exclude   = ["*/isos/*"]
  }

  web {
    server_name = "${target.name}.mirror.example.org"
  }

  # The entry for AlmaLinux's mirrors.d, written to mirrors.d/ beside this file.
  publish {
    sponsor     = var.sponsor
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = target.labels.country, state_province = "Hesse", city = "Frankfurt" }
  }
}

# Any resource type works on its own, too.
# resource "file" "motd" {
#   hosts   = [host.mirror1]
#   path    = "/etc/motd"
#   content = "AlmaLinux mirror ${target.name} on ${target.facts.os.name}\n"
# }
