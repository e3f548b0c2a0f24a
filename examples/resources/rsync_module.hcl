# A directory that everybody can read over rsync: rsync rsync://HOST/almalinux/
resource "rsync_module" "almalinux" {
  hosts           = [host.web1]
  name            = "almalinux"
  path            = "/srv/mirror/almalinux"
  comment         = "AlmaLinux"
  max_connections = 100
  exclude         = [".~tmp~/"]
}
