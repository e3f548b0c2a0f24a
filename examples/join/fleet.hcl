# A mirror in a site of nginx that you keep. Its server block needs one line:
#   include /etc/nginx/mirrorform.d/files.example.org/*.conf;

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
    server_name = "files.example.org"
    site        = "join"
  }

  publish {
    https       = "https://files.example.org/almalinux/"
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}
