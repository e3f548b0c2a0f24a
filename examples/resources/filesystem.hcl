resource "filesystem" "data" {
  hosts  = [host.web1, host.web2]
  device = "/dev/disk/by-id/scsi-0HC_Volume_1234"
  type   = "xfs"
  label  = "data"
}
