resource "tree" "pub" {
  hosts = [host.web1, host.web2]
  path  = "/srv/data/pub"
  name  = "pub"
}
