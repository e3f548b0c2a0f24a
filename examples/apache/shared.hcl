# AlmaLinux and two other distributions under one name. What one block sets holds for the whole site.
mirror "shared" {
  hosts = [host.ams1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror" # mounted by the operator
  }

  web {
    server      = "apache"
    server_name = "mirror.example.org"
    header      = "/srv/web/header.html" # around each listing
    footer      = "/srv/web/footer.html"
    robots      = "User-agent: *\nDisallow: /debian/\n"
    redirects   = { "/fedora/epel/*" = "/epel/" } # where it was before

    limits {
      rate = "20m"
    }
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
    server      = "apache"
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
    server      = "apache"
    server_name = "mirror.example.org"
    location    = "/debian/"
  }
}
