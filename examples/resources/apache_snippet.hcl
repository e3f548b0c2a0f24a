# A directory in a site of Apache that you keep. Its virtual host has the line
# IncludeOptional /etc/apache2/mirrorform.d/www.example.org/*.conf
resource "directory" "apache_snippets" {
  hosts = [host.web2]
  path  = "/etc/apache2/mirrorform.d"
}

resource "directory" "www_snippets" {
  hosts = [host.web2]
  path  = "/etc/apache2/mirrorform.d/www.example.org"
}

resource "apache_snippet" "almalinux" {
  hosts       = [host.web2]
  name        = "almalinux"
  server_name = "www.example.org"
  aliases     = { "/almalinux/" = "/srv/mirror/almalinux" }
}
