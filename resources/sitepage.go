package resources

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
)

// pageOfTrees is the value of Site.Page for a list of the trees.
const pageOfTrees = "trees"

func sitePage(s *Site) string {
	if s.Page == nil {
		return ""
	}
	return *s.Page
}

// siteIndex is the page that lists the trees.
func siteIndex(s *Site) string {
	var b strings.Builder
	title := "Mirror"
	if len(s.ServerName) > 0 {
		title = html.EscapeString(s.ServerName[0])
	}
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%s</title></head>\n<body>\n<h1>%s</h1>\n<ul>\n", title, title)
	for _, url := range slices.Sorted(maps.Keys(s.Aliases)) {
		fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a></li>\n", html.EscapeString(url), html.EscapeString(url))
	}
	b.WriteString("</ul>\n</body>\n</html>\n")
	return b.String()
}
