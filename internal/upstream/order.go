package upstream

import "gopkg.in/yaml.v3"

// HTTPSFirst reports of a mirrors.d file whether it lists https before http, for the mirror and for
// its Kitten tree. The service uses the first. A file that is not YAML lists nothing first.
func HTTPSFirst(file []byte) (main, kitten bool) {
	defer func() { _ = recover() }() // yaml.v3 panics on some inputs
	var n yaml.Node
	if err := yaml.Unmarshal(file, &n); err != nil || len(n.Content) == 0 {
		return false, false
	}
	trees := member(n.Content[0], "address_optional")
	return httpsFirst(member(n.Content[0], "address")), httpsFirst(member(trees, "kitten"))
}

// member returns the value of a key, or nil.
func member(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func httpsFirst(address *yaml.Node) bool {
	if address == nil || address.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i < len(address.Content); i += 2 {
		switch address.Content[i].Value {
		case "http":
			return false
		case "https":
			return true
		}
	}
	return false
}
