# One mirror over HTTP and HTTPS, with a certificate of Let's Encrypt.

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
