# What lies at the top of a repository that CI plans, applies and looks after. The key and the hosts' keys come from the CI system, so hosts name neither.

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
