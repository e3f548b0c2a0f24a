# The configuration at the top of a repository that CI plans and applies. The private key and the hosts'
# keys come from the CI system, so the host blocks name neither.

host "fra1" {
  address = "203.0.113.10"
  user    = "ci"
  become  = "sudo"
}

host "ams1" {
  address = "203.0.113.20"
  user    = "ci"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1, host.ams1]

  storage { path = "/srv/mirror/almalinux" }
  sync { every = "3h" }
  web { server_name = "${target.name}.mirror.example.org" }
}
