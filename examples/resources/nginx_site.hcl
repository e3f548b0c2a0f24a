resource "nginx_site" "data" {
  hosts       = [host.web1, host.web2]
  name        = "data"
  server_name = ["${target.name}.example.org", target.address]
  listen      = ["80", "[::]:80"]
  aliases     = { "/data/" = "/srv/data", "/pub/incoming/" = "/srv/data/incoming" }
}
