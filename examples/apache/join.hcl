# The mirror is part of a virtual host that you keep, with its own certificate and logs. It needs one line, on EL
# with /etc/httpd:
#   IncludeOptional /etc/apache2/mirrorform.d/files.example.org/*.conf
mirror "joined" {
  hosts = [host.par1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror"
  }

  web {
    server      = "apache"
    server_name = "files.example.org"
    site        = "join"
  }

  publish {
    https       = "https://files.example.org/almalinux/"
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "FR", state_province = "Ile-de-France", city = "Paris" }
  }
}
