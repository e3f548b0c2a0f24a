package agent

import (
	"os"
	"testing"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// Accounts that are in no file come from getent, with their groups.
func TestGetent(t *testing.T) {
	t.Parallel()
	empty := t.TempDir() + "/empty"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHost(t.TempDir())
	queries := []wire.Query{{Verb: wire.AskUser, Arg: "root"}, {Verb: wire.AskGroup, Arg: "root"}, {Verb: wire.AskUser, Arg: "0"}, {Verb: wire.AskUser, Arg: "no-such-user"},
		{Verb: wire.AskFile, Arg: "/"}, {Verb: wire.AskUser, Arg: "-x"}, {Verb: wire.AskGroup, Arg: "a:b"}}
	want := h.answer(t.Context(), queries)
	if want[0].User == nil || want[0].User.Group != "root" || want[4].File.Owner != "root" {
		t.Fatalf("%+v", want)
	}
	h.accounts.passwd, h.accounts.group = empty, empty
	want[0].User.Remote = true
	same(t, "with getent", h.answer(t.Context(), queries), want)
	h.accounts.getent = false
	got := h.answer(t.Context(), queries)
	if got[0].User.UID != -1 || got[1].Group.GID != -1 || got[4].File.Owner != "0" {
		t.Errorf("without: %+v", got)
	}
	h.accounts.passwd = empty + "/none"
	if got := h.answer(t.Context(), queries); got[0].Error == "" {
		t.Errorf("without a file: %+v", got[0])
	}
}

func TestDpkgUpdates(t *testing.T) {
	t.Parallel()
	h := newHost(t.TempDir())
	manager := &apt{manager: manager{native: native{arch: "s390x"}}, dpkg: t.TempDir()}
	h.packages.manager = manager
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(manager.dpkg+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func() wire.Answer {
		t.Helper()
		return h.answer(t.Context(), []wire.Query{{Verb: wire.AskPackage, Arg: "rsync"}})[0]
	}
	if a := ask(); a.Error == "" {
		t.Errorf("no status file: %+v", a)
	}
	write("status", dpkgStatus)
	rsync := "Package: rsync\nArchitecture: s390x\n"
	write("status", rsync+"Version: 1\nStatus: install ok installed\n")
	same(t, "status", ask().Package, &wire.Package{Installed: "1"})
	// What an interrupted dpkg left counts, the last of it most.
	if err := os.Mkdir(manager.dpkg+"/updates", 0o700); err != nil {
		t.Fatal(err)
	}
	write("updates/0001", rsync+"Version: 2\nStatus: install ok unpacked\n")
	write("updates/0002", rsync+"Version: 2\nStatus: install ok half-configured\n")
	write("updates/tmp.i", rsync+"Version: 3\nStatus: install ok installed\n")
	same(t, "updates", ask().Package, &wire.Package{Installed: "2", Broken: "half-configured"})

	h.packages.manager = nil
	if a := ask(); a.Error != errNoPackages.Error() {
		t.Errorf("%+v", a)
	}
}
