# Caddy gets the certificate itself, and renews it, without certbot. Port 80 serves until HTTPS does, and
# redirects then. HTTP/2 and HTTP/3 are always offered; the latter needs UDP port 443.
mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path = "/srv/mirror/almalinux"
  }

  web {
    server      = "caddy"
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
