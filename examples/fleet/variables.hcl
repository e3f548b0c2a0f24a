variable "domain" {
  type    = string
  default = "example.org"

  validation {
    condition     = !startswith(var.domain, "mirror.")
    error_message = "Remove the leading mirror. from the domain: it is added."
  }
}

variable "sponsor" {
  description = "Who pays for the mirrors"
  type = object({
    name  = string
    url   = string
    email = optional(string, "mirror@example.org")
  })
}

variable "login" {
  description = "How mirrorform logs in"
  type = object({
    user   = optional(string, "admin")
    become = optional(string, "sudo")
  })
  default = {}
}

variable "become_password" {
  description = "The password for sudo, where it asks for one: set MIRRORFORM_VAR_become_password"
  type        = string
  default     = null
  sensitive   = true
}

variable "bandwidth" {
  description = "The maximum bandwidth of one sync, in rsync's notation"
  type        = string
  default     = "50m"
}
