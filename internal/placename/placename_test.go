package placename

import "testing"

func TestPlain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Zürich": "zurich", "FRANKFURT  am Main": "frankfurt am main", "Sant Julià-de-Lòria": "sant julia de loria",
		"İstanbul": "istanbul", "Kırıkkale": "kirikkale", "Łódź": "lodz", "Tromsø": "tromso", "Großenhain": "grossenhain",
		"Þórshöfn": "thorshofn", "St. John's": "st john s", "東京": "東京", " ": "",
	} {
		if got := Plain(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
