package ssh

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// TestLabKnownHostsPort: which entries count for a host on another port, compared with ssh(1).
func TestLabKnownHostsPort(t *testing.T) {
	t.Parallel()
	program := labtest.Program(t, "ssh")
	h := newLabHost(t)
	b := realBundle(t)
	if err := h.Write("/etc/ssh/sshd_config.d/00-test.conf", []byte("Port 22\nPort 2222\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.run("systemctl", "restart", "ssh")
	key := func(kind string) string {
		data, err := h.Read("/etc/ssh/ssh_host_" + kind + "_key.pub")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(data))[:2], " ")
	}
	ed, ec, other := key("ed25519"), key("ecdsa"), publicLine(otherKey().PublicKey())
	bare, port := h.Address+" ", "["+h.Address+"]:2222 "
	for name, c := range map[string]struct {
		lines string
		want  bool
	}{
		"bare":                         {bare + ed, true},
		"bare, another type":           {bare + ec, false}, // ssh(1) does not ask for the types of such entries
		"bare, wrong":                  {bare + other, false},
		"bare, hashed":                 {"|1|", true},
		"bare, pattern":                {"10.* " + ed, true},
		"bare, wrong pattern":          {"10.* " + other, false},
		"bare, two":                    {bare + other + "\n" + bare + ed, true},
		"bare, in a list":              {"web1," + bare + ed, true},
		"bare, left out":               {"!" + h.Address + ",10.* " + ed, false},
		"bare, revoked":                {bare + ed + "\n@revoked " + bare + ed, false},
		"port":                         {port + ed, true},
		"port, wrong, and bare":        {port + other + "\n" + bare + ed, false},
		"port, and bare that is wrong": {bare + other + "\n" + port + ed, true},
		"another port":                 {"[" + h.Address + "]:2223 " + ed, false},
		"none":                         {"", false},
	} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if c.lines == "|1|" {
			if err := os.WriteFile(file, []byte(bare+ed+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			keygen(t, "-q", "-H", "-f", file)
		} else if err := os.WriteFile(file, []byte(c.lines+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "-F", "none", "-n", "-p", "2222", "-i", h.lab.KeyPath(), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
			"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+file, "-o", "GlobalKnownHostsFile=none", "admin@"+h.Address, "true").CombinedOutput()
		if (err == nil) != c.want {
			t.Errorf("%s: ssh: %v, %s", name, err, out)
		}
		target := h.target("admin", "none")
		target.Port = 2222
		_, err = connect(t, testDialer(t, Options{KnownHostsFiles: []string{file}}), target, b)
		if (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
