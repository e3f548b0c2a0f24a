resource "sysctl" "congestion" {
  hosts = [host.web1, host.web2]
  name  = "net.ipv4.tcp_congestion_control"
  value = "bbr"
}
