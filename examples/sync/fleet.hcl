# A private upstream with a public one as its fallback, by a timer, with notifications and metrics.
# Set the secrets in the environment: MIRRORFORM_VAR_upstream_password, MIRRORFORM_VAR_ping_url.

variable "upstream_password" {
  type      = string
  default   = "change-me"
  sensitive = true
}

variable "ping_url" {
  type      = string
  default   = "https://ping.example.org/change-me"
  sensitive = true
}

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path = "/srv/mirror/almalinux"
  }

  sync {
    every      = "15m"
    scheduler  = "systemd"
    upstream   = ["rsync://fra1@upstream.example.org/almalinux/", "rsync://rsync.repo.almalinux.org/almalinux/"]
    password   = var.upstream_password
    freshness  = "TIME"
    bandwidth  = { "08:00-20:00" = "20m" } # by the host's time; no limit at night
    nice       = 10
    io_class   = "idle"
    time_limit = "8h"
    metrics    = "/var/lib/prometheus/node-exporter/almalinux.prom"

    notify {
      mail = "mirror@example.org"
      ping = var.ping_url
    }
  }

  web {
    server_name = "mirror.example.org"
  }
}
