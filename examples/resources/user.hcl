resource "user" "mirror" {
  hosts   = [host.web1, host.web2]
  name    = "mirror"
  group   = "mirror"
  home    = "/srv/data"
  shell   = "/usr/sbin/nologin"
  comment = "Mirror"
  system  = true
}
