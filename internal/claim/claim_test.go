package claim

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, id := range []Identity{
		{Filesystem: "UUID=0a1b2c3d-0000-4000-8000-00000000000f", Inode: 131},
		{Filesystem: "fsid=0123456789abcdef", Inode: 2},
		{Filesystem: "UUID=0a1b2c3d-0000-4000-8000-00000000000f", Subvolume: 257, Inode: 256},
		{Filesystem: `source=nfs4:[2001:db8::1]:/export\040one`, Inode: 18446744073709551615},
	} {
		got, err := Parse(id.String())
		if err != nil || !got.Equal(id) || id.Differs(got) != "" {
			t.Errorf("%q is read as %+v, %v", id.String(), got, err)
		}
	}
}

func TestParseIsStrict(t *testing.T) {
	good := Identity{Filesystem: "fsid=0123456789abcdef", Inode: 12}.String()
	for name, text := range map[string]string{
		"empty":          "",
		"cut off":        good[:len(good)-1],
		"more":           good + "\n",
		"another line":   good + "inode 13\n",
		"carriage":       strings.ReplaceAll(good, "\n", "\r\n"),
		"zero first":     strings.Replace(good, "inode 12", "inode 012", 1),
		"plus":           strings.Replace(good, "inode 12", "inode +12", 1),
		"negative":       strings.Replace(good, "inode 12", "inode -1", 1),
		"space":          strings.Replace(good, "inode 12", "inode 12 ", 1),
		"version":        strings.Replace(good, "claim 1", "claim 2", 1),
		"no file system": strings.Replace(good, "fsid=0123456789abcdef", "fsid=", 1),
		"another kind":   strings.Replace(good, "fsid=", "dev=", 1),
		"order":          "mirrorform-claim 1\ninode 12\nsubvolume 0\nfilesystem fsid=0123456789abcdef\n",
		"long":           strings.Replace(good, "fsid=", "fsid="+strings.Repeat("a", 1<<20), 1),
	} {
		if id, err := Parse(text); err == nil {
			t.Errorf("%s: read as %+v", name, id)
		}
	}
}

func TestDiffers(t *testing.T) {
	id := Identity{Filesystem: "UUID=a", Subvolume: 5, Inode: 12}
	for want, found := range map[string]Identity{
		"on the file system UUID=b":            {Filesystem: "UUID=b", Subvolume: 5, Inode: 12},
		"in the subvolume 6":                   {Filesystem: "UUID=a", Subvolume: 6, Inode: 12},
		"another directory of the same":        {Filesystem: "UUID=a", Subvolume: 5, Inode: 13},
		"the claimed directory is on UUID=a":   {Filesystem: "source=tmpfs:tmpfs", Inode: 12},
		"inode 13, and the claimed one has 12": {Filesystem: "UUID=a", Subvolume: 5, Inode: 13},
	} {
		if got := id.Differs(found); id.Equal(found) || !strings.Contains(got, want) {
			t.Errorf("%+v: %q does not contain %q", found, got, want)
		}
	}
}
