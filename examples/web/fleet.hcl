# Two trees in one site, over HTTP and HTTPS. Something else, such as certbot, keeps the certificate.

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror"
  }

  web {
    server_name = "mirror.example.org"
    headers     = { Strict-Transport-Security = "max-age=31536000" }
    robots      = "User-agent: *\nDisallow: /\n"
    health      = "/health"

    tls {
      certificate = "/etc/letsencrypt/live/mirror.example.org/fullchain.pem"
      key         = "/etc/letsencrypt/live/mirror.example.org/privkey.pem"
    }

    log {
      path      = "/var/log/nginx/mirror.log"
      anonymize = true
    }

    limits {
      connections = 20
    }
  }
}

# A second mirror block with the same server_name adds its tree to the site.
mirror "epel" {
  hosts        = [host.fra1]
  distribution = "other"

  storage {
    path        = "/srv/mirror/epel"
    mount_point = "/srv/mirror"
  }

  sync {
    upstream = "rsync://rsync.example.net/epel/"
  }

  web {
    server_name = "mirror.example.org"
    location    = "/epel/"
  }
}
