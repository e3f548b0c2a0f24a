host "core" {
  for_each = {
    ams = { address = "203.0.113.10", city = "Amsterdam" }
    fra = { address = "203.0.113.11", city = "Frankfurt" }
  }
  address         = each.value.address
  user            = var.login.user
  become          = var.login.become
  become_password = var.become_password
  labels = {
    city   = each.value.city
    device = "/dev/disk/by-id/scsi-0HC_Volume_${each.key}"
  }
}

host "edge" {
  for_each = {
    nbo = { address = "198.51.100.20", city = "Nairobi" }
    sin = { address = "198.51.100.21", city = "Singapore" }
    sao = { address = "2001:db8::22", city = "São Paulo" }
  }
  address = each.value.address
  user    = var.login.user
  become  = var.login.become
  port    = 2222
  labels  = { city = each.value.city }
}

locals {
  # The locations for AlmaLinux's list. The keys are the values of the hosts' label "city".
  places = {
    Amsterdam   = { country = "NL", state_province = "North Holland", city = "Amsterdam" }
    Frankfurt   = { country = "DE", state_province = "Hesse", city = "Frankfurt" }
    Nairobi     = { country = "KE", city = "Nairobi" }
    Singapore   = { country = "SG", city = "Singapore" }
    "São Paulo" = { country = "BR", state_province = "São Paulo", city = "São Paulo" }
  }

  # The mirrors' DNS names, such as fra.mirror.example.org, by host name.
  names = { for key, h in merge(host.core, host.edge) : h.name => "${key}.mirror.${var.domain}" }
}
