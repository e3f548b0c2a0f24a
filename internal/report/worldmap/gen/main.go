// Command gen writes worldmap/land.txt: it reads Natural Earth's land polygons as TopoJSON
// (land-110m.json of the npm package world-atlas, ISC licence; Natural Earth's data are in the
// public domain), projects them and omits what is too small to see. In the directory of package
// worldmap:
//
//	npm pack world-atlas@2.0.2 && tar -xzf world-atlas-2.0.2.tgz && go run ./gen package/land-110m.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/report/worldmap"
)

const (
	tolerance = 0.8 // largest distance of the outline from the data, in units of the drawing
	smallest  = 4   // area of the smallest island drawn, in square units
	maxSize   = 40 << 10
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: go run ./gen land-110m.json")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var t topology
	if err := json.Unmarshal(data, &t); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	rings, err := t.rings()
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	var b strings.Builder
	for _, ring := range rings {
		b.WriteString(pathOf(ring))
	}
	if b.Len() > maxSize {
		return fmt.Errorf("the outline has %d bytes, more than %d", b.Len(), maxSize)
	}
	return os.WriteFile("land.txt", []byte(b.String()+"\n"), 0o644)
}

// topology is the part of TopoJSON that land-110m.json uses.
type topology struct {
	Objects map[string]struct {
		Geometries []struct {
			Type string    `json:"type"`
			Arcs [][][]int `json:"arcs"`
		} `json:"geometries"`
	} `json:"objects"`
	Arcs      [][][2]float64 `json:"arcs"` // quantised: the first point, then differences
	Transform struct {
		Scale     [2]float64 `json:"scale"`
		Translate [2]float64 `json:"translate"`
	} `json:"transform"`
}

type point struct{ x, y float64 }

// rings returns all outlines that are at least partly on the drawing.
func (t *topology) rings() ([][]point, error) {
	arcs := make([][]point, len(t.Arcs))
	for i, arc := range t.Arcs {
		var at [2]float64
		for _, d := range arc {
			at[0], at[1] = at[0]+d[0], at[1]+d[1]
			arcs[i] = append(arcs[i], point{at[0]*t.Transform.Scale[0] + t.Transform.Translate[0], at[1]*t.Transform.Scale[1] + t.Transform.Translate[1]})
		}
	}
	var rings [][]point
	for _, g := range t.Objects["land"].Geometries {
		if g.Type != "MultiPolygon" {
			return nil, fmt.Errorf("a geometry is a %s, not a MultiPolygon", g.Type)
		}
		for _, polygon := range g.Arcs {
			for _, list := range polygon {
				ring := unwrap(join(arcs, list))
				for _, shift := range []float64{-360, 0, 360} {
					if r, ok := project(clip(clip(ring, shift, 1), shift, -1), shift); ok && area(r) >= smallest {
						rings = append(rings, r)
					}
				}
			}
		}
	}
	if len(rings) == 0 {
		return nil, errors.New(`there is no object "land"`)
	}
	return rings, nil
}

// join joins arcs to a ring; ^i is arc i reversed.
func join(arcs [][]point, list []int) []point {
	var ring []point
	for _, i := range list {
		part := slices.Clone(arcs[max(i, ^i)])
		if i < 0 {
			slices.Reverse(part)
		}
		ring = append(ring, part...)
	}
	return slices.Compact(ring)
}

// unwrap makes the longitudes of a ring that crosses the 180th meridian continue beyond 180°.
func unwrap(ring []point) []point {
	for i := 1; i < len(ring); i++ {
		ring[i].x += 360 * math.Round((ring[i-1].x-ring[i].x)/360)
	}
	return ring
}

// clip returns the part of a ring west (side 1) or east (side -1) of the drawing's edge, by the
// Sutherland-Hodgman algorithm. The drawing is shift degrees away.
func clip(ring []point, shift, side float64) []point {
	beyond := func(p point) float64 { return side*(p.x-shift) - 180 }
	var out []point
	for i, p := range ring {
		q := ring[(i+len(ring)-1)%len(ring)]
		if a, b := beyond(q), beyond(p); a > 0 != (b > 0) {
			t := a / (a - b)
			out = append(out, point{q.x + t*(p.x-q.x), q.y + t*(p.y-q.y)})
		}
		if beyond(p) <= 0 {
			out = append(out, p)
		}
	}
	return out
}

// project converts degrees to units of the drawing; ok reports whether a part is on it.
func project(ring []point, shift float64) (out []point, ok bool) {
	for _, p := range ring {
		x, y, inside := worldmap.Project(p.y, max(-180, min(180, p.x-shift)))
		out, ok = append(out, point{x, y}), ok || inside
	}
	return out, ok
}

func area(ring []point) float64 {
	sum := 0.0
	for i, p := range ring {
		q := ring[(i+1)%len(ring)]
		sum += p.x*q.y - q.x*p.y
	}
	return math.Abs(sum) / 2
}

// simplify removes points by the Ramer-Douglas-Peucker algorithm.
func simplify(line []point) []point {
	if len(line) < 3 {
		return line
	}
	first, last := line[0], line[len(line)-1]
	far, at := 0.0, 0
	for i, p := range line[1 : len(line)-1] {
		if d := distance(p, first, last); d > far {
			far, at = d, i+1
		}
	}
	if far <= tolerance {
		return []point{first, last}
	}
	head := simplify(line[:at+1])
	return append(head[:len(head)-1:len(head)-1], simplify(line[at:])...)
}

// distance returns the distance of a point from a segment.
func distance(p, a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	t := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		t = max(0, min(1, ((p.x-a.x)*dx+(p.y-a.y)*dy)/length))
	}
	return math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy)
}

// pathOf returns a closed outline as SVG path data with integers.
func pathOf(ring []point) string {
	var b strings.Builder
	var x, y int
	for i, p := range simplify(ring) {
		px, py := int(math.Round(p.x)), int(math.Round(p.y))
		dx, dy := px-x, py-y
		x, y = px, py
		switch {
		case i == 0:
			fmt.Fprintf(&b, "M%d %d", px, py)
			continue
		case dx == 0 && dy == 0:
			continue
		case i == 1:
			b.WriteByte('l')
		case dx >= 0:
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(dx))
		if dy >= 0 {
			b.WriteByte(' ')
		}
		b.WriteString(strconv.Itoa(dy))
	}
	return b.String() + "z"
}
