# Every resource type on its own, one file for each. No mirror block is needed to use them.

host "web1" {
  address = "192.0.2.11"
  user    = "admin"
  become  = "sudo"
}

host "web2" {
  address = "192.0.2.12"
  user    = "admin"
  become  = "sudo"
}
