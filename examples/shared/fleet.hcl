# One host with AlmaLinux and two other distributions. The mirrors share the packages, the account, the site
# and the program that syncs; each has its own tree, schedule, lock and log.

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror" # mounted by the operator
  }

  web {
    server_name = "mirror.example.org"
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}

mirror "epel" {
  hosts        = [host.fra1]
  distribution = "other"

  storage {
    path        = "/srv/mirror/epel"
    mount_point = "/srv/mirror"
    minimum     = "500GB"
  }

  sync {
    upstream  = "rsync://rsync.example.net/epel/"
    freshness = "fullfiletimelist-epel"
    every     = "6h"
  }

  web {
    server_name = "mirror.example.org" # the same site as AlmaLinux
    location    = "/epel/"
  }
}

# Not served: for another machine, which reads the files.
mirror "internal" {
  hosts        = [host.fra1]
  distribution = "other"

  storage {
    path        = "/srv/mirror/internal"
    mount_point = "/srv/mirror"
  }

  sync {
    upstream = "rsync://rsync.example.org/internal/"
    every    = "1h"
  }
}
