package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
)

// GeoIPDatabase is a database in the geoip block. Load does not open the file, which only verify
// and publish need.
type GeoIPDatabase struct {
	Path  string    // absolute
	Range hcl.Range // of its path in the configuration
}

// geoIPBlock is the geoip block. A configuration has at most one.
type geoIPBlock struct {
	header    hcl.Range
	body      *hclsyntax.Body
	databases []GeoIPDatabase
}

// geoIPShape has the arguments of a geoip block.
type geoIPShape struct {
	Databases []string `hcl:"databases"` // paths, relative to the configuration's directory
}

func (d *declarations) declareGeoIP(b *hclsyntax.Block) hcl.Diagnostics {
	g := &geoIPBlock{header: b.DefRange(), body: b.Body}
	if d.geoIP != nil {
		return hcl.Diagnostics{lang.ErrorAt(g.header, "Repeated block",
			"Only one geoip block is allowed. The first one is at %s.", lang.Place(d.geoIP.header))}
	}
	d.geoIP = g
	return d.eval.Structure(b.Body, g.header, lang.MustShape[geoIPShape](), "a geoip block", nil)
}

// evaluate sets the absolute paths of the databases.
func (g *geoIPBlock) evaluate(e *lang.Evaluator, ctx *hcl.EvalContext) hcl.Diagnostics {
	var a geoIPShape
	d := lang.NewDecoder(e, ctx)
	d.Early = true
	d.RefuseSensitive = func(string, *lang.Field) string { return "the paths of databases are printed" }
	diags := d.Fill(g.body, &a)
	expr := lang.ArgumentOf(g.body, "databases")
	if expr == nil || d.Failed["databases"] {
		return diags
	}
	places := make([]hcl.Range, len(a.Databases))
	list, _ := expr.(*hclsyntax.TupleConsExpr)
	for i, path := range a.Databases {
		places[i] = expr.Range()
		if list != nil && len(list.Exprs) == len(places) {
			places[i] = list.Exprs[i].Range()
		}
		absolute, err := e.Reader.Path(path)
		if err == nil {
			err = e.Reader.MayRead(absolute)
		}
		if err != nil {
			diags = append(diags, lang.ErrorAt(places[i], "Invalid path", "%s", lang.Sentence(err.Error(), ".")))
			continue
		}
		g.databases = append(g.databases, GeoIPDatabase{absolute, places[i]})
	}
	return diags
}
