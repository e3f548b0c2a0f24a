// Package worldmap is an outline of the world's land for an SVG drawing, and where a point on Earth is on it.
package worldmap

import (
	_ "embed"
	"math"
)

// Width and Height are the size of the drawing in its own units. It shows latitudes from 84° north to 57° south, so all land but Antarctica.
const (
	Width  = 2000
	Height = 900
)

// north is the drawing's upper edge as the distance from the equator, in its units.
const north = 542

// Land is the outline as the d attribute of an SVG path. It is made by package gen from Natural Earth's 1:110m land polygons, which are in the public
// domain.
//
//go:embed land.txt
var Land string

// Project returns where a point is on the drawing. Latitude and longitude are in degrees; ok is false for those that no place on Earth has, and for places
// beyond the drawing's edges.
//
// The projection is Patterson's cylindrical one (Patterson, Šavrič and Jenny 2014), with the Greenwich meridian in the middle: it gives Europe and North
// America, where most mirrors are, more room than an equal-area one, and straight edges.
func Project(latitude, longitude float64) (x, y float64, ok bool) {
	if !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) { // written so that NaN fails, too
		return 0, 0, false
	}
	const c1, c2, c3, c4 = 1.0148, 0.23185, -0.14499, 0.02406
	phi := latitude * math.Pi / 180
	phi2 := phi * phi
	up := phi * (c1 + phi2*phi2*(c2+phi2*(c3+phi2*c4)))
	x, y = Width*(longitude+180)/360, north-up*Width/(2*math.Pi)
	return x, y, y >= 0 && y <= Height
}
