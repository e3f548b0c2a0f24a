resource "caddy_site" "data" {
  hosts         = [host.web1]
  name          = "data"
  server_name   = ["data.example.org"]
  aliases       = { "/data/" = "/srv/data", "/pub/incoming/" = "/srv/data/incoming" }
  acme          = true # Caddy gets the certificate from Let's Encrypt, and renews it
  acme_email    = "web@example.org"
  http          = "redirect"
  access_log    = "/var/log/caddy/data.log"
  anonymize_log = true
  redirects     = { "/old/" = "/data/" }
  compress      = false
}
