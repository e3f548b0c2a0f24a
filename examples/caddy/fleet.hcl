# Three mirrors on Caddy, one file each: with a certificate of Let's Encrypt (acme.hcl), with three distributions
# under one name (shared.hcl), and in a site that you keep (join.hcl).

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

host "ams1" {
  address = "203.0.113.20"
  user    = "admin"
  become  = "sudo"
}

host "par1" {
  address = "203.0.113.30"
  user    = "admin"
  become  = "sudo"
}
