package resources

import (
	"maps"
	"slices"
	"strings"
)

// everythingBelow ends a key of Site.Redirects that stands for all URL paths below one.
const everythingBelow = "/*"

// moved returns the URL paths below which all is redirected, the longest first. They end with /.
func (s *Site) moved() (paths []string) {
	for _, from := range slices.SortedFunc(maps.Keys(s.Redirects), longestFirst) {
		if below, ok := strings.CutSuffix(from, everythingBelow); ok {
			paths = append(paths, below+"/")
		}
	}
	return paths
}

// movedTo returns where what is below a path of moved leads, with a slash at its end.
func (s *Site) movedTo(below string) string { return s.Redirects[below+"*"] }

// redirected returns the single URL paths that are redirected, with those of moved paths
// themselves, unless something else is there.
func (s *Site) redirected() map[string]string {
	single := map[string]string{}
	for from, to := range s.Redirects {
		if !strings.HasSuffix(from, everythingBelow) {
			single[from] = to
		}
	}
	for _, below := range s.moved() {
		bare := strings.TrimSuffix(below, "/")
		if single[bare] == "" && bare != "" && bare != s.Health && (bare != "/robots.txt" || s.Robots == "") {
			single[bare] = s.movedTo(below)
		}
	}
	return single
}

// within returns the URL paths that the site answers itself below one of moved: those of trees end
// with /.
func (s *Site) within(below string) (urls []string) {
	urls = slices.Concat(slices.Collect(maps.Keys(s.Aliases)), slices.Collect(maps.Keys(s.redirected())), s.moved())
	for url := range s.Aliases {
		urls = append(urls, strings.TrimSuffix(url, "/"))
	}
	urls = append(urls, s.Health, "/.well-known/")
	if s.Robots != "" {
		urls = append(urls, "/robots.txt")
	}
	urls = slices.DeleteFunc(urls, func(url string) bool { return len(url) <= len(below) || !strings.HasPrefix(url, below) })
	slices.Sort(urls)
	return slices.Compact(urls)
}
