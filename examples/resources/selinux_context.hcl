resource "selinux_context" "isos" {
  hosts = [host.web1] # where SELinux is enabled
  path  = "/srv/isos"
  type  = "public_content_t"
}
