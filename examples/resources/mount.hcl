resource "mount" "data" {
  hosts      = [host.web1, host.web2]
  path       = "/srv/data"
  device     = "/dev/disk/by-id/scsi-0HC_Volume_1234"
  filesystem = "xfs"
  options    = ["noatime"]
  owner      = "mirror"
  group      = "mirror"
  mode       = "0755"
}
