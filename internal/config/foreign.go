package config

// foreign says, for blocks and arguments that Terraform has and this language does not, what does
// their work here.
var foreign = map[string]string{
	"module":      "All files of one directory are one configuration: put the blocks into it, and use for_each where there are several of a kind.",
	"data":        "There are no data sources: target.facts has what a host says of itself, and file(…), jsondecode(file(…)) and fileset(…) read files of this machine.",
	"provider":    "There are no providers: resource types are built in, and host blocks say how hosts are reached.",
	"terraform":   "There is nothing to set up: resource types are built in, and each host remembers what is managed on it.",
	"import":      "Nothing is imported: what exists on a host as it is wanted is taken over by the first apply.",
	"ephemeral":   "There are no ephemeral values. A secret goes into a variable with sensitive = true.",
	"dynamic":     "Write the nested blocks out, or use for_each on the block around them.",
	"provisioner": "There are no provisioners: declare what is wanted as resources, such as file, package, service and cron.",
	"connection":  "How a host is reached is said in its host block.",

	"ignore_changes":        "What an argument that is left out would set is not managed, so leave the argument out.",
	"create_before_destroy": "A change replaces files atomically, and is rolled back as a whole if it fails.",
	"replace_triggered_by":  "A service reloads when files that it reads change. To make a resource again, use --replace ADDRESS.",
	"destroy":               "To keep a thing, use prevent_destroy = true, or a removed block that stops managing it.",
}

// foreignHint is the sentence about a name of Terraform's, with a space before it, or "".
func foreignHint(name string) string {
	if hint := foreign[name]; hint != "" {
		return " " + hint
	}
	return ""
}
