package mirrorsd

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/internal/gazetteer"
	"gopkg.in/yaml.v3"
)

// geolocation applies the rules for where the mirror is.
func (n *lint) geolocation() {
	n.placeKeys()
	n.continent()
	country := n.file.Geolocation.Country
	if code := sameCountry(country); code != "" {
		n.placeIn(code, "geolocation.city", n.file.Geolocation.City)
		n.placeIn(code, "geolocation.state_province", n.file.Geolocation.StateProvince)
	}
}

// placeKeys reports missing keys, and a country without a value.
func (n *lint) placeKeys() {
	const section = "geolocation"
	unread := n.parser.unread()
	meant := map[string]bool{}
	for _, f := range n.parser.faults {
		meant[f.meant] = f.meant != ""
	}
	keys := []string{"country", "state_province", "city"}
	const why = "AlmaLinux's CI looks the place up and fails without it"
	switch v := n.parser.values[section]; {
	case v == nil && !meant[section]:
		start, end := n.place(section)
		n.add(ruleGeolocation, section, start, end, nil, "geolocation: is missing; add it with country, state_province "+
			"and city, the latter two even if they are blank: %s", why)
	case v != nil && v.Kind == yaml.MappingNode && len(v.Content) > 0 && !unread[section]:
		for _, k := range keys {
			if key := join(section, k); n.parser.values[key] == nil && !meant[key] {
				start, end := n.place(key)
				n.add(ruleGeolocation, key, start, end, nil, "%s: is missing; add it%s: %s", key, evenBlank(k), why)
			}
		}
	}
	if v := n.parser.values["geolocation.country"]; v != nil && v.Kind == yaml.ScalarNode && v.Value == "" && v.Style != 0 {
		start, end, _ := n.source.span(v)
		n.add(ruleCountry, "geolocation.country", start, end, nil, "geolocation.country: has no value, at which AlmaLinux's "+
			"service stops updating its whole list; write an ISO 3166-1 alpha-2 code such as DE, or remove the key")
	}
}

func evenBlank(key string) string {
	if key == "country" {
		return ""
	}
	return ", even if it is blank"
}

// continent compares the continent with the country. The key is none of the schema's, but
// AlmaLinux's service reads it.
func (n *lint) continent() {
	const key = "geolocation.continent"
	v := n.parser.values[key]
	if v == nil || v.Kind != yaml.ScalarNode || v.Value == "" {
		return
	}
	start, end := n.place(key)
	country := sameCountry(n.file.Geolocation.Country)
	advice := "remove the key"
	if code := continentOf(country); code != "" {
		advice = "write " + code + ", or " + advice
	}
	c := findContinent(v.Value)
	const known = "AlmaLinux's service knows each country's continent"
	switch {
	case c == nil:
		n.add(ruleContinent, key, start, end, nil, "%s: %s is not a continent; %s: %s", key, show(v.Value), advice, known)
	case country != "" && !c.on(country):
		n.add(ruleContinent, key, start, end, nil, "%s: %s is not on the continent %s; %s, or correct the country: %s", key,
			country, show(v.Value), advice, known)
	}
}

// undivided are small countries, whose name people write for a state or province.
const undivided = "AD BH BM CY GG GU IM IS JE KW KY LI MT MU MV QA SM VA VI"

// placeIn compares a city, or a state or province, with the country.
func (n *lint) placeIn(country, key, name string) {
	if name == "" || badText(name) != "" {
		return
	}
	start, end := n.place(key)
	found := gazetteer.Countries(name)
	switch {
	case gazetteer.Has(country, name):
	case sameCountry(name) == country && len(name) > 3 && !strings.Contains(undivided, country):
		n.add(rulePlace, key, start, end, nil, "%s: %s is the country; write the part of it, or leave the value blank", key,
			show(name))
	case len(found) > 0:
		n.add(rulePlace, key, start, end, nil, "%s: %s is not in %s by GeoNames, but in %s; correct one of them", key,
			show(name), country, listed(found))
	case key == "geolocation.city":
		if near := gazetteer.Near(country, name); near != "" {
			n.add(rulePlace, key, start, end, nil, "%s: %s is not a place in %s by GeoNames; did you mean %s?", key, show(name),
				country, show(capital(near)))
		}
	}
}

// listed returns at most five countries as text.
func listed(countries []string) string {
	const most = 5
	if len(countries) > most {
		return fmt.Sprintf("%s and %d other countries", strings.Join(countries[:most], ", "), len(countries)-most)
	}
	return strings.Join(countries, ", ")
}

// capital returns a name with capital letters. The gazetteer's are without.
func capital(name string) string {
	words := strings.Fields(name)
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}
