resource "selinux_boolean" "rsync_export" {
  hosts = [host.web1] # where SELinux is enabled
  name  = "rsync_export_all_ro"
  value = true
}
