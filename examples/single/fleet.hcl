# One mirror with its own disk: the file system is made, mounted and added to fstab.

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path   = "/srv/mirror/almalinux"
    device = "/dev/disk/by-id/scsi-0HC_Volume_1234"
  }

  sync {
    every = "3h"
  }

  web {
    server_name = "fra1.mirror.example.org"
  }

  publish {
    sponsor     = "Example Org"
    sponsor_url = "https://example.org"
    email       = "mirror@example.org"
    geolocation = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
  }
}
