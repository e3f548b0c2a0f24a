package report

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/internal/report/worldmap"
	"github.com/mirrorform/mirrorform/internal/upstream"
)

// mapView is the map of mirrors.
type mapView struct {
	Marks  []mapMark
	Places []place
	Shown  []outcomeCount // for the legend
}

// mapMark is one mark on the map, for one mirror or for several close to each other.
type mapMark struct {
	X, Y  float64 // in the map's units
	N     int
	State Outcome // the worst of them
	Parts []outcomeCount
	Title string

	states map[Outcome]int
}

// place is the location of one mirror.
type place struct {
	Name, ID    string // ID is that of its HTML element
	State       Outcome
	Word        string // the state in words
	Where       string
	Coordinates string // "" if unknown
	By          string // the source of the coordinates
	Distance    cell   // from the location in the configuration
	x, y        float64
	OnMap       bool
}

// near is the distance, in units of the map, below which marks are merged.
const near = 40

// worldMap places mirrors by the coordinates of their addresses in GeoIP databases, and hosts
// without such coordinates by their labels latitude and longitude. It returns nil if there are no
// coordinates.
func (f *fleet) worldMap(verified []verifyView) *mapView {
	var m mapView
	covered, refused := map[string]bool{}, map[string]bool{}
	for i := range verified {
		p := f.placeOf(&verified[i])
		refused[verified[i].Host] = refused[verified[i].Host] || !verified[i].Accepted
		covered[verified[i].Host] = covered[verified[i].Host] || p.Coordinates != ""
		if h := f.byName[verified[i].Host]; h != nil && p.Coordinates == "" {
			continue // its labels may have coordinates
		}
		m.Places = append(m.Places, p)
	}
	for _, h := range f.hosts {
		if !covered[h.Name] && !h.Local {
			p := h.place()
			if refused[h.Name] {
				p.refuse()
			}
			m.Places = append(m.Places, p)
		}
	}
	n := map[Outcome]int{}
	on := 0
	for _, p := range m.Places {
		if p.OnMap {
			n[p.State]++
			on++
		}
	}
	if on == 0 {
		return nil
	}
	m.Shown = shares(n, on)
	for i := range m.Shown {
		if m.Shown[i].Outcome == Failed && len(verified) > 0 {
			m.Shown[i].Word = "failed, or not accepted by verify"
		}
	}
	slices.SortStableFunc(m.Places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.Rank(), b.Rank()), strings.Compare(a.Name, b.Name))
	})
	m.Marks = marks(m.Places)
	return &m
}

// Rank orders places by state.
func (p place) Rank() int { return badness(p.State) }

// placeOf returns the place of a mirror: the first location of its addresses with coordinates.
func (f *fleet) placeOf(v *verifyView) place {
	p := place{Name: v.Name, ID: v.ID, State: OK}
	if h := f.byName[v.Host]; h != nil {
		p.State = h.Outcome
	}
	p.Word = p.State.Word()
	if !v.Accepted {
		p.refuse()
	}
	for _, a := range v.report.Addresses {
		for i := range a.Locations {
			l := &a.Locations[i]
			if l.Latitude == nil || l.Longitude == nil {
				continue
			}
			p.locate(*l.Latitude, *l.Longitude)
			if p.Coordinates == "" {
				continue
			}
			p.Where, p.By = where(l), l.Database
			if l.Distance != nil {
				p.Distance = cell{Text: strconv.FormatFloat(*l.Distance, 'f', 0, 64) + " km", Sort: *l.Distance}
			}
			return p
		}
	}
	return p
}

// refuse is the state of a place whose mirror verify does not accept.
func (p *place) refuse() {
	if badness(p.State) > badness(Failed) {
		p.State, p.Word = Failed, "not accepted"
	}
}

func where(l *upstream.Location) string {
	return joined(l.City, l.Region, l.Country)
}

// joined joins parts, without empty ones and repetitions.
func joined(parts ...string) string {
	return strings.Join(slices.Compact(slices.DeleteFunc(parts, func(s string) bool { return s == "" })), ", ")
}

// place returns the place that the host's labels name.
func (h *hostView) place() place {
	p := place{Name: h.Name, ID: h.ID, State: h.Outcome, Word: h.Word()}
	label := map[string]string{}
	for _, l := range h.Labels {
		name, value, _ := strings.Cut(l, "=")
		label[name] = value
	}
	p.Where = joined(label["city"], label["country"])
	latitude, err1 := strconv.ParseFloat(label["latitude"], 64)
	longitude, err2 := strconv.ParseFloat(label["longitude"], 64)
	if err1 == nil && err2 == nil {
		p.locate(latitude, longitude)
		p.By = "labels"
	}
	return p
}

func (p *place) locate(latitude, longitude float64) {
	if !(math.Abs(latitude) <= 90 && math.Abs(longitude) <= 180) { // also rejects NaN
		return
	}
	p.x, p.y, p.OnMap = worldmap.Project(latitude, longitude)
	p.Coordinates = degrees(latitude, "N", "S") + " " + degrees(longitude, "E", "W")
}

func degrees(v float64, positive, negative string) string {
	if v < 0 {
		positive = negative
	}
	return strconv.FormatFloat(math.Abs(v), 'f', 2, 64) + "° " + positive
}

// marks merges places that would cover each other. Places come the worst first, so a mark is at the
// worst of its places.
func marks(places []place) []mapMark {
	var list []mapMark
	for _, p := range places {
		if !p.OnMap {
			continue
		}
		i := slices.IndexFunc(list, func(m mapMark) bool { return math.Hypot(m.X-p.x, m.Y-p.y) < near })
		if i < 0 {
			list = append(list, mapMark{X: math.Round(p.x), Y: math.Round(p.y), State: p.State, states: map[Outcome]int{}})
			i = len(list) - 1
		}
		list[i].N++
		list[i].states[p.State]++
		title := p.Name + ": " + p.Word
		if p.Where != "" {
			title += ", " + p.Where
		}
		if list[i].N > 1 {
			title = "\n" + title
		}
		list[i].Title += title
	}
	for i := range list {
		list[i].Parts = shares(list[i].states, list[i].N)
	}
	slices.Reverse(list) // the worst are painted last
	return list
}
