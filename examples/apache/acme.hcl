# certbot gets the certificate, and its timer renews it. Port 80 serves until HTTPS does, and redirects then.
mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path = "/srv/mirror/almalinux"
  }

  web {
    server      = "apache"
    server_name = "fra1.mirror.example.org"
    http        = "redirect"
    headers     = { Strict-Transport-Security = "max-age=31536000" }

    tls {
      acme {
        email = "mirror@example.org"
      }
    }

    log {
      anonymize = true
    }
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}
