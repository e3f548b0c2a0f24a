resource "storage" "data" {
  hosts       = [host.web1, host.web2]
  path        = "/srv/data"
  minimum     = "200GB"
  recommended = "1TB"
  device      = "/dev/disk/by-id/scsi-0HC_Volume_1234"
}
