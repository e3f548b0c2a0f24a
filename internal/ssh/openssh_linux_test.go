package ssh

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOpenSSHFullDisk: a file system without room for the socket is named, with what helps.
func TestOpenSSHFullDisk(t *testing.T) {
	key, pub, _ := newKeyFile(t)
	dir := socketsIn(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,nr_inodes=2,mode=700"); err != nil {
		t.Skip(err) // only root may
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s := newServer(t, pub).serve()
	d := testDialer(t, Options{KnownHostsFiles: []string{s.knownHosts(edKey())}})
	defer d.Close()
	_, err := d.Connect(t.Context(), byOpenSSH(t, s.target(key)), standIn(t, ""))
	wantError(t, err, nil, "No space left on device", "XDG_RUNTIME_DIR")
	if err := os.Mkdir(filepath.Join(dir, "more"), 0o700); err == nil {
		t.Error("the file system had room")
	}
}
