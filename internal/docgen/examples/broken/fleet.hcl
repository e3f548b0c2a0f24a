variable "domain" {
  default = ".example.org"

  validation {
    condition     = !startswith(var.domain, ".")
    error_message = "Leave out the dot at the beginning."
  }
}

host "fra1" {
  adress = "203.0.113.10"
}

mirror "almalinux" {
  hosts = [host.fra]

  storage {
    path = "srv/mirror/almalinux"
  }

  web {
    server_name = "fra1.mirror.${var.domian}"
  }
}
