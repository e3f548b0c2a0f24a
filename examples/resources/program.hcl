resource "program" "sync" {
  hosts = [host.web1]
  path  = "/usr/local/libexec/mirrorform-sync"
  name  = "mirrorform-sync"
}
