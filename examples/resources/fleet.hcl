# Every resource type, one file for each. They need no mirror block.

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
