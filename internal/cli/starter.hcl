# A fleet of AlmaLinux mirrors. All *.hcl files of this directory are one configuration.
#
#   mirrorform validate    check it without connecting to a host
#   mirrorform plan        show what would change on the hosts
#   mirrorform apply       change the hosts, after confirmation

# A value that differs between set-ups. Set it in mirrorform.hclvars (sponsor = "…"), with --var sponsor=…,
# or in the environment variable MIRRORFORM_VAR_sponsor.
variable "sponsor" {
  type        = string
  description = "Who pays for the mirrors, as AlmaLinux's mirror list shows it"
  default     = "Example Org"
}

# A server that becomes a mirror. mirrorform connects over SSH, with your agent or key files.
host "mirror1" {
  address = "203.0.113.10"
  # user   = "admin"
  # become = "sudo"         # if you do not log in as root: "sudo" or "doas"
  labels = { country = "DE" }
}

# Several similar servers: these are host.edge["ams"] and host.edge["sin"].
# host "edge" {
#   for_each = { ams = "203.0.113.20", sin = "203.0.113.30" }
#   address  = each.value
# }

mirror "almalinux" {
  hosts = [host.mirror1]

  # The edition of AlmaLinux's guide that gives the defaults: "classic", or "current" with other rsync
  # flags and sizes.
  # guide = "current"

  storage {
    path = "/srv/mirror/almalinux"

    # An empty device: a file system is made on it, mounted and added to fstab. A device that contains
    # anything is refused.
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

  # The entry for AlmaLinux's mirror list, written to mirrors.d/ next to this file.
  publish {
    sponsor     = var.sponsor
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = target.labels.country, state_province = "Hesse", city = "Frankfurt" }
  }
}

# Every resource type also works without a mirror block.
# resource "file" "motd" {
#   hosts   = [host.mirror1]
#   path    = "/etc/motd"
#   content = "AlmaLinux mirror ${target.name} on ${target.facts.os.name}\n"
# }
