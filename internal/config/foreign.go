package config

// foreign has, for each block and argument of Terraform that this language does not have, what to
// use instead.
var foreign = map[string]string{
	"module": "There are no modules: all *.hcl files in a directory are one configuration. " +
		"Put the blocks there, and use for_each for several of the same kind.",
	"data": "There are no data sources. target.facts has the facts of a host; " +
		"file(…), jsondecode(file(…)) and fileset(…) read files on this machine.",
	"provider":    "There are no providers: resource types are built in, and host blocks define the connections.",
	"terraform":   "There is no backend to configure: resource types are built in, and each host stores its own state.",
	"import":      "No import is needed: the first apply adopts a resource that already exists in the wanted state.",
	"ephemeral":   "There are no ephemeral values. For a secret, use a variable with sensitive = true.",
	"dynamic":     "Write each nested block, or use for_each on the block around them.",
	"provisioner": "There are no provisioners: use resources such as file, package, service and cron.",
	"connection":  "Set the connection in the host block.",

	"ignore_changes":        "Arguments that are not set are not managed, so remove the argument.",
	"create_before_destroy": "Files are replaced atomically, and if an apply fails, all changes are rolled back.",
	"replace_triggered_by":  "A service reloads when the files that it reads change. To replace a resource, use --replace ADDRESS.",
	"destroy":               "To keep a resource on its hosts, use prevent_destroy = true. To stop managing it, use a removed block.",
}

// foreignHint returns the sentence about a name that only Terraform has, with a leading space, or
// "".
func foreignHint(name string) string {
	if hint := foreign[name]; hint != "" {
		return " " + hint
	}
	return ""
}
