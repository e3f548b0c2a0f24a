resource "firewall" "web" {
  for_each = toset(["http", "https"])
  hosts    = [host.web1, host.web2]
  service  = each.value
}

resource "firewall" "monitoring" {
  hosts = [host.web1]
  port  = "9100/tcp"
}
