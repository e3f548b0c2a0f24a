# Apache's modules that its package does not enable on Debian: headers, and for HTTPS ssl, its cache,
# and http2.
resource "symlink" "apache_module" {
  hosts    = [host.web1]
  for_each = toset(["headers.load", "http2.conf", "http2.load", "socache_shmcb.load", "ssl.conf", "ssl.load"])
  path     = "/etc/apache2/mods-enabled/${each.value}"
  target   = "../mods-available/${each.value}"
}

resource "apache_site" "files" {
  hosts           = [host.web1]
  name            = "files"
  server_name     = ["files.example.org"]
  aliases         = { "/data/" = "/srv/data" }
  certificate     = "/etc/ssl/files/fullchain.pem"
  certificate_key = "/etc/ssl/files/privkey.pem"
  http            = "serve"
  robots          = "User-agent: *\nDisallow: /data/\n"
}
