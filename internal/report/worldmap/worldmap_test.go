package worldmap

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestProject(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		latitude, longitude, x, y float64
		ok                        bool
	}{
		{0, 0, Width / 2, north, true},
		{0, -180, 0, north, true},
		{0, 180, Width, north, true},
		{50.1, 8.7, 1048, 238, true},
		{-33.9, 151.2, 1840, 737, true},
		{-77.8, 166.7, 1926, 1049, false}, // McMurdo, beyond the lower edge
		{90, 0, 1000, -28, false},
	} {
		x, y, ok := Project(test.latitude, test.longitude)
		if ok != test.ok || math.Abs(x-test.x) > 1 || math.Abs(y-test.y) > 1 {
			t.Errorf("%v, %v is at %.1f, %.1f, %v", test.latitude, test.longitude, x, y, ok)
		}
	}
	for _, p := range [][2]float64{{91, 0}, {0, 181}, {math.NaN(), 0}, {0, math.Inf(1)}} {
		if _, _, ok := Project(p[0], p[1]); ok {
			t.Errorf("%v is on the map", p)
		}
	}
}

// TestLand finds cities on the outline's land and not in its seas.
func TestLand(t *testing.T) {
	t.Parallel()
	rings := parse(t, Land)
	if n := len(Land); n > 40<<10 || len(rings) < 80 {
		t.Errorf("the outline has %d bytes and %d rings", n, len(rings))
	}
	for name, test := range map[string]struct {
		latitude, longitude float64
		land                bool
	}{
		"Frankfurt":        {50.1, 8.7, true},
		"Denver":           {39.7, -105, true},
		"São Paulo":        {-23.5, -46.6, true},
		"Nairobi":          {-1.3, 36.8, true},
		"Novosibirsk":      {55, 82.9, true},
		"Anadyr, far east": {66, 178, true},
		"Uelen, beyond it": {66, -173, true},
		"Alice Springs":    {-23.7, 133.9, true},
		"North Atlantic":   {40, -40, false},
		"Pacific":          {0, -140, false},
		"Caspian Sea":      {42, 51, false},
		"Indian Ocean":     {-20, 80, false},
	} {
		x, y, ok := Project(test.latitude, test.longitude)
		if !ok || inside(rings, x, y) != test.land {
			t.Errorf("%s: on land is %v", name, !test.land)
		}
	}
}

// parse reads the subset of SVG's path language that the outline has.
func parse(t *testing.T, path string) (rings [][][2]float64) {
	t.Helper()
	number := regexp.MustCompile(`-?\d+`)
	for _, part := range strings.Split(strings.TrimSpace(path), "z") {
		if part == "" {
			continue
		}
		if !regexp.MustCompile(`^M\d+ -?\d+l[-\d ]+$`).MatchString(part) {
			t.Fatalf("%q is no ring", part)
		}
		var ring [][2]float64
		var at [2]float64
		for i, s := range number.FindAllString(part, -1) {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			at[i%2] += float64(n)
			if i%2 == 1 {
				ring = append(ring, at)
			}
		}
		rings = append(rings, ring)
	}
	return rings
}

// inside counts the edges that a line from the point eastwards crosses, as fill-rule evenodd does.
func inside(rings [][][2]float64, x, y float64) bool {
	in := false
	for _, ring := range rings {
		for i, p := range ring {
			q := ring[(i+1)%len(ring)]
			if (p[1] > y) != (q[1] > y) && x < p[0]+(y-p[1])/(q[1]-p[1])*(q[0]-p[0]) {
				in = !in
			}
		}
	}
	return in
}
