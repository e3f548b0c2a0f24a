resource "directory" "data" {
  hosts = [host.web1, host.web2]
  path  = "/srv/data" # a mount point: the mount sets its owner and mode, see mount.hcl
}

resource "directory" "incoming" {
  hosts = [host.web1, host.web2]
  path  = "/srv/data/incoming"
  owner = "mirror"
  group = "mirror"
  mode  = "2775"
}
