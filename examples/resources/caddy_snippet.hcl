# A directory in a site that you keep. Its block in the Caddyfile has the line
# import /etc/caddy/mirrorform.d/files.example.org/*.caddyfile
resource "directory" "caddy_snippets" {
  hosts = [host.web2]
  path  = "/etc/caddy/mirrorform.d"
}

resource "directory" "caddy_files_snippets" {
  hosts = [host.web2]
  path  = "/etc/caddy/mirrorform.d/files.example.org"
}

resource "caddy_snippet" "almalinux" {
  hosts       = [host.web2]
  name        = "almalinux"
  server_name = "files.example.org"
  aliases     = { "/almalinux/" = "/srv/mirror/almalinux" }
}
