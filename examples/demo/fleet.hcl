# Two AlmaLinux mirrors. `mirrorform lab up --hcl` writes their host blocks, fra1 and ams1, next to this file.

locals {
  places = {
    fra1 = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
    ams1 = { country = "NL", state_province = "North Holland", city = "Amsterdam" }
  }
}

mirror "almalinux" {
  hosts = [host.fra1, host.ams1]

  storage {
    path        = "/srv/mirror/almalinux"
    minimum     = "1GB" # the guide requires 300 GB; the lab's upstream is tiny
    recommended = "2GB"
  }

  sync {
    every = "3h"
  }

  web {
    server_name = "${target.name}.mirror.example.org"
    tls {
      certificate = "/etc/ssl/mirror.pem"
      key         = "/etc/ssl/mirror.key"
    }
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = local.places[target.name]
  }
}

# On the Internet, tls { acme { email = "…" } } gets certificates from Let's Encrypt instead.
resource "file" "certificate" {
  hosts   = [host.fra1, host.ams1]
  path    = "/etc/ssl/mirror.pem"
  content = file("mirror.pem")
}

resource "file" "key" {
  hosts   = [host.fra1, host.ams1]
  path    = "/etc/ssl/mirror.key"
  content = sensitive(file("mirror.key"))
}

resource "file" "motd" {
  hosts   = [host.fra1, host.ams1]
  path    = "/etc/motd"
  content = "AlmaLinux mirror ${target.name} on ${target.facts.os.name}\n"
}

output "mirrors" {
  value = keys(local.places)
}
