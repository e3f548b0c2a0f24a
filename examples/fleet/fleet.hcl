# Five mirrors in two groups: large ones with Kitten by the current guide, small ones at the edge by the
# classic guide.

mirror "core" {
  hosts = host.core
  guide = "current"

  storage {
    path        = "/srv/mirror/almalinux"
    device      = target.labels.device
    mount_point = "/srv/mirror"
    options     = ["noatime"]
  }

  sync {
    every     = "3h"
    bandwidth = var.bandwidth
  }

  kitten {
    path = "/srv/mirror/almalinux-kitten"
    sync {
      every = "12h"
    }
  }

  web {
    server_name    = local.names[target.name]
    server_aliases = ["mirror.${var.domain}"]
  }

  publish {
    sponsor     = var.sponsor.name
    sponsor_url = var.sponsor.url
    email       = var.sponsor.email
    geolocation = local.places[target.labels.city]
    asn         = [64496]
  }
}

mirror "edge" {
  hosts = host.edge

  storage {
    path = "/srv/mirror/almalinux"
  }

  sync {
    every   = "6h"
    exclude = ["*/isos/", "*/images/"]
  }

  web {
    server_name = local.names[target.name]
  }

  publish {
    sponsor     = var.sponsor.name
    sponsor_url = var.sponsor.url
    email       = var.sponsor.email
    geolocation = local.places[target.labels.city]
  }
}

resource "file" "motd" {
  hosts   = [host.core, host.edge]
  path    = "/etc/motd"
  content = templatefile("motd.tmpl", { name = local.names[target.name], os = target.facts.os.name, city = target.labels.city })
}
