resource "group" "mirror" {
  hosts  = [host.web1, host.web2]
  name   = "mirror"
  system = true
}
