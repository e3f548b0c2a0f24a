# AlmaLinux and two other distributions under one name. What one block sets holds for the whole site.
mirror "shared" {
  hosts = [host.ams1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror" # mounted by the operator
  }

  web {
    server      = "caddy"
    server_name = "mirror.example.org"
    page        = "/srv/web/index.html"
    headers     = { X-Robots-Tag = "noindex, nofollow" }
    health      = "/health"
    redirects   = { "/fedora/epel/*" = "/epel/" } # where it was before
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "NL", state_province = "North Holland", city = "Amsterdam" }
  }
}

mirror "epel" {
  hosts        = [host.ams1]
  distribution = "other"

  storage {
    path        = "/srv/mirror/epel"
    mount_point = "/srv/mirror"
  }

  sync {
    upstream  = "rsync://rsync.example.net/epel/"
    freshness = "fullfiletimelist-epel"
    every     = "6h"
  }

  web {
    server      = "caddy"
    server_name = "mirror.example.org"
    location    = "/epel/"
  }
}

mirror "debian" {
  hosts        = [host.ams1]
  distribution = "other"

  storage {
    path        = "/srv/mirror/debian"
    mount_point = "/srv/mirror"
  }

  sync {
    upstream  = "rsync://rsync.example.net/debian/"
    freshness = "ls-lR.gz"
    every     = "6h"
  }

  web {
    server      = "caddy"
    server_name = "mirror.example.org"
    location    = "/debian/"
  }
}

# A directory of your own in the same site, for what the page needs.
resource "caddy_site" "help" {
  hosts       = [host.ams1]
  name        = "help"
  server_name = ["mirror.example.org"]
  aliases     = { "/help/" = "/srv/web/help" }
}
