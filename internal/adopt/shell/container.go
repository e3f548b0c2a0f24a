package shell

import (
	"path"
	"slices"
	"strings"
)

// container evaluates docker run and podman run: the command sees the directories that are volumes.
func container(s *shell, name string, args []string, c call) bool {
	if len(args) > 1 && args[0] == "container" {
		args = args[1:]
	}
	if len(args) < 2 || args[0] != "run" {
		return false
	}
	var volumes [][2]string
	long := []string{
		"name", "volume", "env", "workdir", "user", "network", "net", "entrypoint", "hostname", "label", "memory",
		"cpus", "mount", "env-file",
		"log-driver", "log-opt", "restart", "add-host", "dns", "pull", "platform", "cpu-shares", "ulimit",
		"security-opt", "cap-drop", "cap-add",
	}
	rest := args[1:]
	entry := ""
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		n := 1
		if word := rest[0]; !strings.Contains(word, "=") && len(rest) > 1 &&
			(slices.Contains(long, strings.TrimPrefix(word, "--")) || len(word) > 1 && word[1] != '-' &&
				strings.ContainsAny(word[len(word)-1:], "vewuhlpcm")) {
			n = 2
		}
		one := parseOptions(rest[:n], "vewuhlpcm", long)
		rest = rest[n:]
		volumes = append(volumes, volume(one.value["v"]+one.value["volume"])...)
		volumes = append(volumes, mount(one.value["mount"])...)
		if one.has("entrypoint") {
			entry = one.value["entrypoint"]
		}
	}
	if len(rest) == 0 {
		return false
	}
	image, argv := rest[0], rest[1:]
	if entry != "" {
		argv = append([]string{entry}, argv...)
	} else if len(argv) == 0 || strings.HasPrefix(argv[0], "-") || strings.Contains(argv[0], "::") ||
		strings.HasPrefix(argv[0], "rsync://") {
		if !strings.Contains(image, "rsync") {
			return false
		}
		argv = append([]string{"rsync"}, argv...)
	}
	old := s.volumes
	s.volumes = volumes
	s.wrap(Wrapper{name + " run", []string{image}}, func() { s.run(argv, c) })
	s.volumes = old
	return true
}

// volume returns the directories of HOST:CONTAINER[:OPTIONS].
func volume(spec string) [][2]string {
	parts := strings.Split(spec, ":")
	if len(parts) < 2 || !path.IsAbs(parts[0]) || !path.IsAbs(parts[1]) {
		return nil
	}
	return [][2]string{{path.Clean(parts[0]), path.Clean(parts[1])}}
}

// mount returns the directories of type=bind,source=HOST,target=CONTAINER.
func mount(spec string) [][2]string {
	from, to := "", ""
	for field := range strings.SplitSeq(spec, ",") {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "source", "src":
			from = value
		case "target", "destination", "dst":
			to = value
		}
	}
	return volume(from + ":" + to)
}

// Volume returns the directories of a volume, HOST:CONTAINER[:OPTIONS].
func Volume(spec string) [][2]string { return volume(spec) }
