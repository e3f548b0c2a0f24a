package mirrorsd

import (
	"strings"

	"golang.org/x/text/language"
)

// kosovo is the user-assigned code that IP databases use for Kosovo.
const kosovo = "XK"

// unassigned lists the codes that x/text accepts as countries although ISO 3166-1 does not assign
// them: reserved codes (UK, AC, …), former countries, and the user-assigned XK.
const unassigned = " AC AN BU CP CQ CS CT DD DG DY EA EZ FQ FX HV IC JT MI NH NQ NT PC PU PZ RH SU TA " +
	"TP UK UN VD WK XK YD YU ZR "

// isCountry reports whether s is an officially assigned ISO 3166-1 alpha-2 code.
func isCountry(s string) bool {
	if len(s) != 2 || strings.ToUpper(s) != s || strings.Contains(unassigned, s) {
		return false
	}
	r, err := language.ParseRegion(s)
	return err == nil && r.IsCountry() && r.String() == s
}

// nearCountry returns the code that a lower-case, alpha-3, numeric or former code probably means,
// or "" if it finds none.
func nearCountry(s string) string {
	r, err := language.ParseRegion(s)
	if err != nil {
		return ""
	}
	if code := r.Canonicalize().String(); isCountry(code) {
		return code
	}
	return ""
}

// sameCountry returns the code for which s is another notation: lower case, alpha-3, or UK, which
// is reserved for the United Kingdom. Unlike nearCountry, it does not guess from former codes,
// because the country may have changed.
func sameCountry(s string) string {
	switch upper := strings.ToUpper(s); {
	case upper == "UK":
		return "GB"
	case isCountry(upper):
		return upper
	case len(s) == 3 && strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "":
		if r, err := language.ParseRegion(upper); err == nil && r.ISO3() == upper && isCountry(r.String()) {
			return r.String()
		}
	}
	return ""
}
