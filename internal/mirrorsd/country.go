package mirrorsd

import (
	"strings"

	"golang.org/x/text/language"
)

// kosovo is the user-assigned code that IP databases use for Kosovo.
const kosovo = "XK"

// unassigned are the codes that x/text takes for countries and ISO 3166-1 does not
// assign: reserved ones (UK, AC, …), former countries, and user-assigned XK.
const unassigned = " AC AN BU CP CQ CS CT DD DG DY EA EZ FQ FX HV IC JT MI NH NQ NT PC PU PZ RH SU TA TP UK UN VD WK XK YD YU ZR "

// isCountry reports whether s is an officially assigned ISO 3166-1 alpha-2 code.
func isCountry(s string) bool {
	if len(s) != 2 || strings.ToUpper(s) != s || strings.Contains(unassigned, s) {
		return false
	}
	r, err := language.ParseRegion(s)
	return err == nil && r.IsCountry() && r.String() == s
}

// nearCountry returns the code that was probably meant: for a lower-case, alpha-3,
// numeric or former code. It returns "" if there is none.
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

// sameCountry returns the code that s is another notation of: lower case, alpha-3, or
// UK, which is reserved for the United Kingdom. Unlike nearCountry it does not guess from
// former codes, whose country may be another now.
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
