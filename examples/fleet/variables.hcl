variable "domain" {
  type    = string
  default = "example.org"

  validation {
    condition     = !startswith(var.domain, "mirror.")
    error_message = "Leave out the mirror. at the beginning: it is added."
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
  description = "What sudo asks for, if it does: set MIRRORFORM_VAR_become_password"
  type        = string
  default     = null
  sensitive   = true
}

variable "bandwidth" {
  description = "The most that one sync may take, in rsync's notation"
  type        = string
  default     = "50m"
}
