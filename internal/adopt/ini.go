package adopt

import "strings"

// setting is one line of a file with sections: a systemd unit (systemd.syntax(7)) or
// rsyncd.conf(5).
type setting struct {
	line                int
	section, key, value string
}

// readSettings parses sections, keys and values. It converts keys to lower case with single spaces,
// and joins lines that end with a backslash. unclear has the lines that cannot be parsed.
func readSettings(text string) (settings []setting, unclear []int) {
	section, number := "", 0
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number = i + 1
		line := strings.TrimSpace(lines[i])
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) && line[0] != '#' && line[0] != ';' {
			i++
			line = strings.TrimSpace(strings.TrimSuffix(line, `\`)) + " " + strings.TrimSpace(lines[i])
		}
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			if end := strings.IndexByte(line, ']'); end > 0 {
				section = strings.TrimSpace(line[1:end])
				continue
			}
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			if line[0] != '&' { // rsyncd.conf's &include and &merge
				unclear = append(unclear, number)
			}
			continue
		}
		settings = append(settings, setting{number, section, strings.ToLower(strings.Join(strings.Fields(key), " ")), strings.TrimSpace(value)})
	}
	return settings, unclear
}
