resource "symlink" "pub" {
  hosts  = [host.web1, host.web2]
  path   = "/srv/pub"
  target = "/srv/data"
}
