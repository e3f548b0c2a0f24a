package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestGeoIP(t *testing.T) {
	t.Parallel()
	c, diags := loadText(t, `
variable "where" { default = "/var/lib/GeoIP" }
geoip {
  databases = [
    "GeoLite2-City.mmdb",
    "${var.where}/asn.mmdb",
  ]
}
`)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	list := c.GeoIP()
	if len(list) != 2 || list[0].Path != filepath.Join(c.eval.Reader.Dir, "GeoLite2-City.mmdb") || list[0].Range.Start.Line != 5 ||
		list[1].Path != "/var/lib/GeoIP/asn.mmdb" || list[1].Range.Start.Line != 6 {
		t.Errorf("got %+v", list)
	}
	if c, diags := loadText(t, `locals { x = 1 }`); diags.HasErrors() || c.GeoIP() != nil {
		t.Errorf("without the block: %v, %v", c.GeoIP(), diags)
	}
	// A list that is made by an expression has one place.
	c, diags = loadText(t, `geoip { databases = [for n in ["a", "b"] : "${n}.mmdb"] }`)
	if list := c.GeoIP(); diags.HasErrors() || len(list) != 2 || list[1].Range.Start.Line != 1 {
		t.Errorf("got %+v, %v", list, diags)
	}
}

func TestGeoIPErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`geoip { }`:                                                    `the argument "databases" is required`,
		`geoip { databases = "city.mmdb" }`:                            "databases",
		`geoip { databases = [""] }`:                                   "the path is empty",
		`geoip { databases = [null] }`:                                 "null",
		`geoip { databases = [target.name] }`:                          "target",
		`geoip { database = ["a"] }`:                                   `Did you mean "databases"?`,
		`geoip "x" { databases = ["a"] }`:                              "no labels",
		`geoip = ["a"]`:                                                "is a block",
		"geoip { databases = [\"a\"] }\ngeoip { databases = [\"b\"] }": "one geoip block",
		"variable \"s\" {\n  default = \"a\"\n  sensitive = true\n}\ngeoip { databases = [var.s] }": "the paths of databases are printed",
	} {
		c, diags := loadText(t, text)
		if got := diagnosticsText(diags, c.eval.Reader.Dir); !diags.HasErrors() || !strings.Contains(strings.ToLower(got), strings.ToLower(want)) {
			t.Errorf("%s: got %s, want %q", text, got, want)
		}
	}
}
