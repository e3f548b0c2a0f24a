// Package worldmap has the outline of the world's land as an SVG path, and projects coordinates on
// it.
package worldmap

import (
	_ "embed"
	"math"
)

// Width and Height are the size of the drawing in its own units. It shows latitudes from 84° north
// to 57° south: all land except Antarctica.
const (
	Width  = 2000
	Height = 900
)

// north is the distance of the drawing's upper edge from the equator, in units of the drawing.
const north = 542

// Land is the outline as the d attribute of an SVG path. Package gen generates it from Natural
// Earth's 1:110m land polygons, which are in the public domain.
//
//go:embed land.txt
var Land string

// Project returns the position of a point on the drawing. Latitude and longitude are in degrees. ok
// is false if they are out of range or the point is outside of the drawing.
//
// The projection is the Patterson cylindrical projection (Patterson, Šavrič and Jenny 2014), with
// the Greenwich meridian in the middle. It gives Europe and North America, where most mirrors are,
// more room than an equal-area projection, and straight edges.
func Project(latitude, longitude float64) (x, y float64, ok bool) {
	if !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) { // also rejects NaN
		return 0, 0, false
	}
	const c1, c2, c3, c4 = 1.0148, 0.23185, -0.14499, 0.02406
	phi := latitude * math.Pi / 180
	phi2 := phi * phi
	up := phi * (c1 + phi2*phi2*(c2+phi2*(c3+phi2*c4)))
	x, y = Width*(longitude+180)/360, north-up*Width/(2*math.Pi)
	return x, y, y >= 0 && y <= Height
}
