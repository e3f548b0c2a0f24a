# A mirror with thousands of clients at a time, on 10 Gbit/s and more. The figures are starting points: measure before
# and after. Most mirrors need none of this.

host "fra1" {
  address = "203.0.113.10"
  user    = "admin"
  become  = "sudo"
}

mirror "almalinux" {
  hosts = [host.fra1]

  storage {
    path        = "/srv/mirror/almalinux"
    device      = "/dev/vg0/mirror" # a logical volume: it can grow
    mount_point = "/srv/mirror"
    options     = ["noatime"] # otherwise each read of a file writes its time, at most once a day
  }

  web {
    server_name = "mirror.example.org"

    limits {
      connections = 20
    }
  }
}

locals {
  sysctl = {
    # Congestion control by the measured bandwidth and delay. Unlike cubic, it does not take each lost packet on a long
    # path for congestion. The kernel loads the module. AlmaLinux's own mirrors use it, too. fq paces what it sends.
    "net.ipv4.tcp_congestion_control" = "bbr"
    "net.core.default_qdisc"          = "fq"

    # A connection on 10 Gbit/s and 50 ms has 60 MB under way. These are limits; the kernel takes what a connection
    # needs.
    "net.core.rmem_max" = "67108864"
    "net.core.wmem_max" = "67108864"
    "net.ipv4.tcp_rmem" = "4096 131072 67108864"
    "net.ipv4.tcp_wmem" = "4096 65536 67108864"

    # A kept connection does not begin slowly again: dnf asks for one package after another.
    "net.ipv4.tcp_slow_start_after_idle" = "0"
    # What the socket buffers before it is sent, so that buffers of slow clients do not fill the memory.
    "net.ipv4.tcp_notsent_lowat" = "1048576"
    # Clients behind tunnels whose routers drop ICMP.
    "net.ipv4.tcp_mtu_probing" = "1"

    # New connections that wait for nginx, and packets that wait for the kernel, when a release is announced.
    "net.core.somaxconn"           = "4096"
    "net.ipv4.tcp_max_syn_backlog" = "8192"
    "net.core.netdev_max_backlog"  = "16384"

    # A sync writes many gigabytes. With little dirty memory it writes all the time, and does not stop the readers.
    "vm.dirty_background_bytes" = "268435456"
    "vm.dirty_bytes"            = "1073741824"
    # The names of a million files stay in memory rather than their content: listings and rsync need them.
    "vm.vfs_cache_pressure" = "50"

    # Each client needs a socket and an open file. systemd sets no limit for the whole host; where something else
    # has, this is enough for a hundred thousand clients.
    "fs.file-max" = "2097152"
  }
}

resource "sysctl" "busy" {
  for_each = local.sysctl
  hosts    = [host.fra1]
  name     = each.key
  value    = each.value
}

# A worker has a socket and a file for each client. The limit of systemd's units is 1024, above which nginx logs "Too
# many open files" and refuses clients. It counts from a start on, so nginx is restarted. worker_rlimit_nofile would do
# the same without a restart, but SELinux does not allow that by default.
resource "file" "nginx_limits" {
  hosts   = [host.fra1]
  path    = "/etc/systemd/system/nginx.service.d/limits.conf"
  content = "[Service]\nLimitNOFILE=65536\n"
}

# The mirror has this package and the service below, too: each is one.
resource "package" "nginx" {
  hosts = [host.fra1]
  name  = "nginx"
}

# The packages' own nginx.conf, with more than 768 (Debian) or 1024 (EL) connections a worker. A directive of the block
# events cannot be set by another file.
resource "file" "nginx_conf" {
  hosts    = [host.fra1]
  path     = "/etc/nginx/nginx.conf"
  validate = ["/usr/sbin/nginx", "-t", "-q", "-c", "{}"]
  content  = templatefile("nginx.conf.tmpl", { el = target.facts.os.family == "el" })

  depends_on = [package.nginx]
}

resource "service" "nginx" {
  hosts      = [host.fra1]
  name       = "nginx"
  enabled    = true
  running    = true
  reload_on  = ["/etc/nginx/nginx.conf"]
  restart_on = ["/etc/systemd/system/nginx.service.d/limits.conf"]
}
