# The mirror that the benchmark converges on every lab host. The benchmark adds a file with the host blocks.

mirror "almalinux" {
  hosts = host

  storage {
    path        = "/srv/mirror/almalinux"
    minimum     = "1GB" # the guide says 300 GB; nothing is synchronised here
    recommended = "1GB"
  }

  sync {
    every = "3h"
  }

  web {
    server_name = "${target.name}.mirror.example.org"
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}

resource "file" "motd" {
  hosts   = host
  path    = "/etc/motd"
  content = "AlmaLinux mirror ${target.name} on ${target.facts.os.name}\n"
}
