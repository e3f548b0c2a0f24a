resource "cron" "report" {
  hosts       = [host.web1, host.web2]
  name        = "mirror-report"
  schedule    = "30 6 * * mon"
  user        = "mirror"
  command     = ["/usr/bin/du", "--summarize", "--human-readable", "/srv/data/my files"]
  environment = { MAILTO = "mirror@example.org" }

  # Runs only while /srv/data is mounted; the output goes to a file.
  require_mount = "/srv/data"
  log           = "/var/log/mirror-report.log"
}
