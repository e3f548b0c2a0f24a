# The CA asks this site for a file, so it comes first and needs no certificate.
resource "nginx_site" "pkg" {
  hosts       = [host.web1]
  name        = "pkg"
  server_name = ["pkg.example.org"]
  root        = "/srv/pkg"
  webroot     = "/var/lib/letsencrypt"
}

resource "package" "certbot" {
  hosts = [host.web1]
  name  = "certbot"
}

resource "certificate" "pkg" {
  hosts = [host.web1]
  name  = "pkg.example.org"
  email = "admin@example.org"
}

resource "nginx_site" "pkg_tls" {
  hosts           = [host.web1]
  name            = "pkg-tls"
  server_name     = ["pkg.example.org"]
  root            = "/srv/pkg"
  http            = "off"
  certificate     = "/etc/letsencrypt/live/pkg.example.org/fullchain.pem"
  certificate_key = "/etc/letsencrypt/live/pkg.example.org/privkey.pem"
}

# Run by certbot after each renewal.
resource "file" "reload_nginx" {
  hosts   = [host.web1]
  path    = "/etc/letsencrypt/renewal-hooks/deploy/reload-nginx"
  mode    = "0755"
  content = "#!/bin/sh\nexec systemctl reload nginx\n"
}
