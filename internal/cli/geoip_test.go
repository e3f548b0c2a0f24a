package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/mirrorform/mirrorform/internal/geo/geotest"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// TestGeoIPConfigured: databases of the configuration are found beside it, flags win, and a corrupt one is told with its place.
func TestGeoIPConfigured(t *testing.T) {
	t.Parallel()
	tree, flags, ca := startMirror(t)
	database := func(country string) string {
		return geotest.Write(t, "GeoLite2-City", map[string]mmdbtype.Map{"127.0.0.0/8": {"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}})
	}
	good, err := os.ReadFile(database("DE"))
	if err != nil {
		t.Fatal(err)
	}
	configured := func(content []byte) string {
		dir := t.TempDir()
		writeFile(t, dir, "fleet.hcl", append(publishedFleet(tree, ""), `geoip {
  databases = ["geo/city.mmdb"]
}
`...))
		if err := os.Mkdir(filepath.Join(dir, "geo"), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir, "geo/city.mmdb", content)
		return dir
	}
	whole, corrupt := configured(good), configured(good[:len(good)/2])
	flags = append(slices.Clip(flags), "--json", "--attempts", "1", "--ca-file", ca)
	for _, test := range []struct {
		name, dir string
		args      []string
		country   string // "" is the error of the corrupt database
	}{
		{"configured", whole, nil, "DE"},
		{"by name", whole, []string{"fra1"}, "DE"},
		{"a flag wins", whole, []string{"--geoip-db", database("FR")}, "FR"},
		{"a flag in place of a corrupt one", corrupt, []string{"--geoip-db", database("FR")}, "FR"},
		{"by URL", corrupt, []string{tree}, "none"},
		{"corrupt", corrupt, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"verify", "--chdir", test.dir}, flags...)
			status, stdout, stderr := runApp(t, append(args, test.args...)...)
			if test.country == "" {
				for _, want := range []string{"GeoIP database cannot be used", "fleet.hcl", "fleet.hcl line 19", "geo/city.mmdb", "download it again"} {
					if !strings.Contains(stderr, want) {
						t.Errorf("%q is not in %s", want, stderr)
					}
				}
				if status != exitError || stdout != "" {
					t.Errorf("exit status %d: %s", status, stdout)
				}
				return
			}
			var got struct{ Mirrors []upstream.Report }
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || len(got.Mirrors) != 1 || len(got.Mirrors[0].Addresses) != 1 {
				t.Fatalf("status %d, %v in %s%s", status, err, stdout, stderr)
			}
			locations := got.Mirrors[0].Addresses[0].Locations
			if test.country == "none" && len(locations) > 0 || test.country != "none" && (len(locations) != 1 || locations[0].Country != test.country) {
				t.Errorf("got %+v", locations)
			}
		})
	}
	t.Run("publish", func(t *testing.T) {
		t.Parallel()
		status, _, stderr := runApp(t, "publish", "--dry-run", "--chdir", corrupt, "--api-url", "http://127.0.0.1:1/")
		if status != exitError || !strings.Contains(stderr, "GeoIP database cannot be used") || !strings.Contains(stderr, "fleet.hcl") {
			t.Errorf("exit status %d: %s", status, stderr)
		}
	})
}
