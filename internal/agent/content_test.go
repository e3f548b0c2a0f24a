package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// One byte anywhere where file systems have what cannot be replaced is found, on devices of all
// sizes.
func TestDataOn(t *testing.T) {
	t.Parallel()
	const mib, gib, tib = 1 << 20, 1 << 30, 1 << 40
	for _, test := range []struct {
		name     string
		size, at int64
		found    bool
	}{
		{"nothing", 600 * gib, -1, false},
		{"nothing on a small one", 512, -1, false},
		{"the first byte", 600 * gib, 0, true},
		{"the last", 600*gib + 512, 600*gib + 511, true},
		{"the end of the beginning", 600 * gib, 4*mib - 1, true},
		{"the whole of a small one", 8 * mib, 5 * mib, true},
		{"ext4, 1 KiB blocks", 64 * mib, 8*mib + 1024 + 56, true},
		{"ext4, 4 KiB blocks, group 1", 600 * gib, 128*mib + 56, true},
		{"ext4, group 49", 600 * gib, 49*128*mib + 56, true},
		{"ext4, group 243", 600 * gib, 243*128*mib + 56, true},
		{"xfs, the second of four groups", 600 * gib, 150 * gib, true},
		{"xfs, rounded up", 600*gib + 4096, 150*gib + 4096, true},
		{"xfs, groups of 1 TiB", 6*tib + 12345*4096, 5 * tib, true},
		{"btrfs, the second superblock", 600 * gib, 64*mib + 64, true},
		{"btrfs, the third", 600 * gib, 256*gib + 64, true},
		{"GPT at the end", 600 * gib, 600*gib - 512, true},
		{"md 0.90", 600 * gib, 600*gib - 64<<10, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if err := f.Truncate(test.size); err != nil {
				t.Fatalf("the file system of %s has no files of that size: %v", f.Name(), err)
			}
			if test.at >= 0 {
				if _, err := f.WriteAt([]byte{1}, test.at); err != nil {
					t.Fatal(err)
				}
			}
			got, err := dataOn(int(f.Fd()), uint64(test.size), time.Now)
			want := ""
			if test.found {
				want = "at byte " + strconv.Itoa(int(test.at))
			}
			if err != nil || got != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

// A disk that is too slow is not called empty.
func TestDataOnSlow(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(0, 0)
	clock := func() time.Time { at = at.Add(time.Second); return at }
	if got, err := dataOn(int(f.Fd()), 1<<30, clock); err == nil {
		t.Errorf("%q without an error", got)
	}
}

// What fills a part of a device is met by the samples, wherever it lies.
func TestSpread(t *testing.T) {
	t.Parallel()
	const size = 600 << 30
	list := spread(size)
	if len(list) != samples {
		t.Fatalf("%d samples", len(list))
	}
	for i, s := range list {
		if s.from+sampleSize < size/samples*uint64(i) || s.from+s.size > size/samples*uint64(i+1) {
			t.Fatalf("sample %d is at %d", i, s.from)
		}
	}
}
