# A mirror that is served over HTTP and by the host's rsync daemon, beside the daemon's other modules.
host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]
  storage { path = "/srv/mirror/almalinux" }
  web { server_name = "mirror.example.org" }

  rsync_daemon {
    max_connections = 100
    motd            = "AlmaLinux mirror of Example. Questions: mirror@example.org"
  }

  publish {
    sponsor     = "Example"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = {
      country        = "DE"
      state_province = "Hesse"
      city           = "Frankfurt"
    }
  }
}
