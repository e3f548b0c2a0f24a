# A directory in a site that you keep. Its server block has the line
# include /etc/nginx/mirrorform.d/files.example.org/*.conf;
resource "directory" "snippets" {
  hosts = [host.web1]
  path  = "/etc/nginx/mirrorform.d"
}

resource "directory" "files_snippets" {
  hosts = [host.web1]
  path  = "/etc/nginx/mirrorform.d/files.example.org"
}

resource "nginx_snippet" "almalinux" {
  hosts       = [host.web1]
  name        = "almalinux"
  server_name = "files.example.org"
  aliases     = { "/almalinux/" = "/srv/mirror/almalinux" }
}
