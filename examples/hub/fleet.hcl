# A hub fetches AlmaLinux once, and its leaves fetch it from the hub.

host "hub" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

host "leaf" {
  for_each = { ams = "203.0.113.20", fra = "203.0.113.30" }
  address  = each.value
  user     = "admin"
  become   = "sudo"
}

# The hub serves nobody but its leaves.
mirror "hub" {
  hosts = [host.hub]

  storage {
    path = "/srv/mirror/almalinux"
  }

  sync {
    every = "1h"
  }

  web {
    server = "none"
  }

  rsync_daemon {
    hosts_allow = [for leaf in host.leaf : leaf.address]
    # hub_address = "10.0.0.10"   # if the leaves reach the hub at another address than you do
  }
}

# The leaves are public. They ask for the hub's TIME every 15 minutes.
mirror "almalinux" {
  hosts = [host.leaf]

  storage {
    path = "/srv/mirror/almalinux"
  }

  sync {
    from = host.hub
  }

  web {
    server_name = "${target.key}.mirror.example.org"
  }
}
