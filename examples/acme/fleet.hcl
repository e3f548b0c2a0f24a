# One mirror over HTTPS, with a certificate of Let's Encrypt. Port 80 serves until the certificate is there, and
# redirects then. Without http, it serves as well, which most mirrors do.

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path = "/srv/mirror/almalinux"
  }

  web {
    server_name = "fra1.mirror.example.org"
    http        = "redirect"

    tls {
      acme {
        email = "mirror@example.org"
      }
    }
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}
