package config

import (
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// GeoIPDatabase is a database that the geoip block names. Whether the file is there, and what it is, Load does not look at: only verify and publish need it.
type GeoIPDatabase struct {
	Path  string    // absolute
	Range hcl.Range // where the configuration names it
}

// geoIPBlock is the geoip block; a configuration has one at most.
type geoIPBlock struct {
	header    hcl.Range
	body      *hclsyntax.Body
	databases []GeoIPDatabase
}

// geoIPShape is the tagged form of a geoip block.
type geoIPShape struct {
	Databases []string `hcl:"databases"` // paths, relative to the configuration's directory
}

// GeoIP returns the databases of the geoip block, in its order.
func (c *Config) GeoIP() []GeoIPDatabase {
	if c.geoIP == nil {
		return nil
	}
	return c.geoIP.databases
}

func (c *Config) declareGeoIP(b *hclsyntax.Block) hcl.Diagnostics {
	g := &geoIPBlock{header: b.DefRange(), body: b.Body}
	if c.geoIP != nil {
		return hcl.Diagnostics{errorAt(g.header, "Repeated block", "A configuration has one geoip block, and there is one at %s already.", place(c.geoIP.header))}
	}
	c.geoIP = g
	return structure(b.Body, g.header, mustShape[geoIPShape](), "a geoip block", nil)
}

// check looks at the block's expressions.
func (g *geoIPBlock) check(c *Config) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, expr := range expressions(g.body) {
		diags = append(diags, c.check(expr, scope{global: true, eachWhy: noForEach})...)
	}
	return diags
}

// evaluateGeoIP finds the paths of the databases.
func (c *Config) evaluateGeoIP() hcl.Diagnostics {
	if c.geoIP == nil {
		return nil
	}
	var a geoIPShape
	d := newDecoder(c, c.global)
	d.early = true
	d.refuseSensitive = func(string, *field) string { return "the paths of databases are printed" }
	diags := d.body(c.geoIP.body, reflect.ValueOf(&a).Elem(), "")
	expr := argumentOf(c.geoIP.body, "databases")
	if expr == nil || d.failed["databases"] {
		return diags
	}
	places := make([]hcl.Range, len(a.Databases))
	list, _ := expr.(*hclsyntax.TupleConsExpr)
	for i, path := range a.Databases {
		places[i] = expr.Range()
		if list != nil && len(list.Exprs) == len(places) {
			places[i] = list.Exprs[i].Range()
		}
		absolute, err := expandPath(path, c.dir)
		if err == nil {
			err = c.mayRead(absolute)
		}
		if err != nil {
			diags = append(diags, errorAt(places[i], "Invalid path", "%s", sentence(err.Error(), ".")))
			continue
		}
		c.geoIP.databases = append(c.geoIP.databases, GeoIPDatabase{absolute, places[i]})
	}
	return diags
}
