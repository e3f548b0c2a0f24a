output "urls" {
  description = "Where the trees are served"
  value       = { for host, name in local.names : host => "http://${name}/almalinux/" }
}
