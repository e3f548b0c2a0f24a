resource "logrotate" "report" {
  hosts        = [host.web1, host.web2]
  name         = "mirror-report"
  files        = ["/var/log/mirror-report.log"]
  frequency    = "monthly"
  rotate       = 12
  create_mode  = "0640"
  create_owner = "mirror"
  create_group = "mirror"
}
