# The mirror is part of a site in a Caddyfile that you keep. It needs one line:
#   import /etc/caddy/mirrorform.d/files.example.org/*.caddyfile
mirror "joined" {
  hosts = [host.par1]

  storage {
    path        = "/srv/mirror/almalinux"
    mount_point = "/srv/mirror"
  }

  web {
    server      = "caddy"
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
