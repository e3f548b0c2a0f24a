# One directory with files and links, var.resources in total, below the root of each host.

variable "resources" {
  type = number

  validation {
    condition     = var.resources > 0
    error_message = "resources must be greater than zero, since the directory is one of them."
  }
}

locals {
  line   = "Sixty characters or so are what lines of such files have, mostly."
  others = [for i in range(var.resources - 1) : format("%03d", i)]
  links  = toset([for i, name in local.others : name if i % 4 == 3])
  files  = toset([for i, name in local.others : name if i % 4 != 3])
}

resource "directory" "scale" {
  hosts = host.sim
  path  = "${target.labels.root}/scale"
  mode  = "0755"
}

resource "file" "scale" {
  for_each = local.files
  hosts    = host.sim
  path     = "${target.labels.root}/scale/${each.key}"
  content  = <<-EOT
    # A file like those that a mirror has: some lines, one of which says where it is.
    # ${local.line}
    # ${local.line}
    # ${local.line}
    # ${local.line}
    # ${local.line}
    # ${local.line}
    host = ${target.name}
    file = ${each.key}
  EOT
  mode     = "0640"
}

resource "symlink" "scale" {
  for_each = local.links
  hosts    = host.sim
  path     = "${target.labels.root}/scale/${each.key}"
  target   = "000"
}
