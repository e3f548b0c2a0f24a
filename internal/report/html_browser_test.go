package report

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestMain(m *testing.M) {
	status := m.Run()
	if chromium.close != nil {
		chromium.close()
	}
	os.Exit(status)
}

// column is the text of a column of the table of hosts, of the rows that are shown.
func (w *window) column(n string) []string {
	w.t.Helper()
	return eval[[]string](w, `Array.from(document.querySelectorAll("#host-table tbody tr:not([hidden])")).map(r => r.cells[`+n+`].innerText.split("\n")[0].trim())`)
}

func (w *window) click(selector string) {
	w.t.Helper()
	w.do(chromedp.Click(chromedp.CSS(selector)))
}

// wait waits until an expression is true.
func (w *window) wait(expression string) {
	w.t.Helper()
	if _, err := chromedp.Run(w.Context, chromedp.Poll[bool](expression)); err != nil {
		w.t.Fatalf("%v: %s", err, expression)
	}
}

func (w *window) check(expression string) {
	w.t.Helper()
	if !eval[bool](w, expression) {
		w.t.Errorf("not so: %s", expression)
	}
}

func TestBrowserSort(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, madeFleet(30)...), 1280)
	before := w.column("0")
	if len(before) != 30 {
		t.Fatalf("%d hosts", len(before))
	}
	w.click(`#host-table th:nth-child(1) button`)
	w.check(`document.querySelector("#host-table th").getAttribute("aria-sort") === "ascending"`)
	names := w.column("0")
	if !slices.IsSorted(names) || slices.Equal(names, before) {
		t.Errorf("hosts %q", names)
	}
	w.click(`#host-table th:nth-child(1) button`)
	w.check(`document.querySelector("#host-table th").getAttribute("aria-sort") === "descending"`)
	slices.Reverse(names)
	if got := w.column("0"); !slices.Equal(got, names) {
		t.Errorf("hosts %q", got)
	}
	// Numbers sort as numbers; what is not known comes last in both directions.
	for range 2 {
		w.click(`#host-table th:nth-child(5) button`)
		days := w.column("4")
		known := slices.Index(days, "unknown")
		if known < 2 || slices.ContainsFunc(days[known:], func(s string) bool { return s != "unknown" }) {
			t.Errorf("full in %q", days)
		}
		w.check(`{ const v = Array.from(document.querySelectorAll("#host-table tbody tr")).map(r => r.cells[4].dataset.v).filter(Boolean).map(Number);
			const up = document.querySelector("#host-table th:nth-child(5)").getAttribute("aria-sort") === "ascending";
			v.length > 2 && v.every((x, i) => i === 0 || (up ? v[i-1] <= x : v[i-1] >= x)) }`)
	}
	w.check(`document.querySelectorAll("#host-table [aria-sort]:not([aria-sort=none])").length === 1`)
}

func TestBrowserFilter(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, madeFleet(300)...), 1280)
	w.check(`document.getElementById("shown").textContent === "300 of 300 hosts"`)
	w.do(chromedp.SendKeys(chromedp.CSS("#f-text"), "fra country=de"))
	got := w.column("0")
	if len(got) != 12 || slices.ContainsFunc(got, func(s string) bool { return !strings.HasPrefix(s, "fra") }) {
		t.Errorf("hosts %q", got)
	}
	w.check(`document.getElementById("shown").textContent === "12 of 300 hosts"`)
	w.check(`{ const names = Array.from(document.querySelectorAll("#syncs tbody tr:not([hidden]) th")).map(e => e.innerText); names.length > 5 && names.every(n => n.startsWith("fra")) }`)
	w.check(`Array.from(document.querySelectorAll("#changes article:not([hidden]) h3")).every(e => e.innerText.startsWith("fra"))`)
	w.click(`#filter button[type=reset]`)
	w.wait(`document.getElementById("shown").textContent === "300 of 300 hosts"`)

	w.do(chromedp.SetValue(chromedp.CSS("#f-outcome"), "drifted"))
	eval[bool](w, `document.getElementById("f-outcome").dispatchEvent(new Event("input", {bubbles: true}))`)
	outcomes := w.column("1")
	if len(outcomes) < 5 || slices.ContainsFunc(outcomes, func(s string) bool { return s != "drifted" }) {
		t.Errorf("outcomes %q", outcomes)
	}
	all := len(outcomes)
	w.do(chromedp.SetValue(chromedp.CSS("#f-label"), "wave=canary"))
	eval[bool](w, `document.getElementById("f-label").dispatchEvent(new Event("input", {bubbles: true}))`)
	if n := len(w.column("0")); n == 0 || n >= all {
		t.Errorf("%d of %d drifted hosts are canaries", n, all)
	}
	w.check(`Array.from(document.querySelectorAll("#host-table tbody tr:not([hidden])")).every(r => r.dataset.labels.split("\n").includes("wave=canary"))`)

	// A link to what a filter hides shows it.
	hidden := eval[string](w, `document.querySelector("#host-table tbody tr[hidden]").id`)
	eval[string](w, `location.hash = "`+hidden+`"`)
	w.wait(`!document.getElementById("` + hidden + `").hidden`)
}

// TestBrowserKeyboard goes through the page without a mouse: to the content, sorts, opens a diff, and follows a link to findings.
func TestBrowserKeyboard(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, madeFleet(60)...), 1280)
	w.do(chromedp.KeyEvent(kb.Tab))
	w.check(`document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().left >= 0`)
	w.do(chromedp.KeyEvent(kb.Enter))
	w.wait(`document.activeElement.id === "main"`)

	tabTo := func(what string) {
		t.Helper()
		for range 400 {
			w.do(chromedp.KeyEvent(kb.Tab))
			if eval[bool](w, `document.activeElement.matches("`+what+`")`) {
				w.check(`getComputedStyle(document.activeElement).outlineStyle === "solid"`)
				return
			}
		}
		t.Fatalf("no key leads to %s", what)
	}
	tabTo("#host-table th:nth-child(3) .sort")
	w.do(chromedp.KeyEvent(" "))
	w.check(`document.querySelector("#host-table th:nth-child(3)").getAttribute("aria-sort") === "ascending"`)
	tabTo("#changes summary")
	w.check(`!document.activeElement.parentElement.open && !document.activeElement.parentElement.querySelector(".diff").checkVisibility()`)
	w.do(chromedp.KeyEvent(kb.Enter))
	w.check(`document.activeElement.parentElement.open && document.activeElement.parentElement.querySelector(".diff").checkVisibility()`)
	w.check(`{ const d = document.activeElement.parentElement.querySelector(".diff"); d.querySelector("ins").innerText[0] === "+" && d.querySelector("del").innerText[0] === "-" }`)
	tabTo("#verify tbody a[href^='#v']")
	w.do(chromedp.KeyEvent(kb.Enter))
	w.wait(`document.querySelector(location.hash).open && location.hash.startsWith("#v")`)
}

func (w *window) scheme(value string) {
	w.t.Helper()
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
}

func TestBrowserColours(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, madeFleet(3)...), 1280)
	const page = `getComputedStyle(document.body).backgroundColor`
	w.scheme("light")
	light := eval[string](w, page)
	w.scheme("dark")
	dark := eval[string](w, page)
	if light == dark {
		t.Errorf("%s in light and dark", light)
	}
	w.wait(`document.getElementById("theme").getAttribute("aria-pressed") === "true"`) // the page hears of the scheme with the next frame
	w.click("#theme")
	w.check(`document.getElementById("theme").getAttribute("aria-pressed") === "false"`)
	if got := eval[string](w, page); got != light {
		t.Errorf("%s after the choice of light colours", got)
	}
}

// TestBrowserAccessible has axe-core look at the page, all of it open, with different fleets, widths and colours.
func TestBrowserAccessible(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		documents []*Result
		width     int64
		scheme    string
	}{
		"light":       {madeFleet(30), 1280, "light"},
		"dark":        {madeFleet(30), 1280, "dark"},
		"narrow":      {madeFleet(3), 360, "light"},
		"narrow dark": {madeFleet(30), 360, "dark"},
		"wide":        {madeFleet(30), 1920, "light"},
		"apply":       {[]*Result{applyResult()}, 1280, "light"},
		"apply dark":  {[]*Result{applyResult(), verifyResult()}, 1280, "dark"},
		"hostile":     {[]*Result{hostileResult()}, 1280, "light"},
		"empty":       {[]*Result{{Hosts: []HostResult{}}}, 1280, "light"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := open(t, htmlOf(t, test.documents...), test.width)
			w.scheme(test.scheme)
			w.checkAxe()
			eval[int](w, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
			w.checkAxe()
		})
	}
}

// TestBrowserWidths: nothing but tables in their frames is wider than the window.
func TestBrowserWidths(t *testing.T) {
	t.Parallel()
	for _, width := range []int64{360, 768, 1280, 1920} {
		w := open(t, htmlOf(t, append(madeFleet(30), hostileResult())...), width)
		eval[int](w, `document.querySelectorAll("details").forEach(d => d.open = true), 0`)
		if got := eval[int64](w, `document.documentElement.scrollWidth`); got > width {
			t.Errorf("%d pixels wide in a window of %d: %s", got, width,
				eval[string](w, `Array.from(document.querySelectorAll("body *")).filter(e => !e.parentElement.closest(".scroll") && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)).slice(0, 5).join("\n")`))
		}
	}
}

// TestBrowserNoScript: without scripts all content is there, and no control that does nothing.
func TestBrowserNoScript(t *testing.T) {
	t.Parallel()
	noScript := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
	w := open(t, htmlOf(t, madeFleet(60)...), 1280, noScript)
	w.check(`document.querySelectorAll("button.sort").length === 0`)
	w.check(`Array.from(document.querySelectorAll("button, input, select")).every(e => !e.checkVisibility())`)
	w.check(`Array.from(document.querySelectorAll("main > section > :not([hidden]):not(p)")).every(e => e.checkVisibility())`)
	if n := len(w.column("0")); n != 60 {
		t.Errorf("%d hosts", n)
	}
	w.do(chromedp.Click(chromedp.CSS("#changes summary")))
	w.check(`document.querySelector("#changes .diff").checkVisibility()`)
}

// TestBrowserHostile: a browser sees text, and no element or script, in what documents hold.
func TestBrowserHostile(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, hostileResult()), 1280)
	w.check(`document.scripts.length === 1 && document.querySelectorAll("style").length === 1 && document.querySelectorAll("html, head, body").length === 3`)
	w.check(`Array.from(document.querySelectorAll("a")).every(a => a.getAttribute("href").startsWith("#"))`)
	w.check(`Array.from(document.querySelectorAll("*")).every(e => Array.from(e.attributes).every(a => !a.name.startsWith("on")))`)
	w.check(`document.body.innerText.includes("</details>]]><script>&\"'\\|` + "`" + `<!--{0}")`)
	w.check(`!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/.test(document.documentElement.outerHTML)`)
}

func TestBrowserPrint(t *testing.T) {
	t.Parallel()
	w := open(t, htmlOf(t, madeFleet(60)...), 1280)
	eval[bool](w, `dispatchEvent(new Event("beforeprint"))`)
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print", Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	w.check(`Array.from(document.querySelectorAll(".diff")).every(e => e.checkVisibility())`)
	w.check(`!document.getElementById("filter").checkVisibility() && !document.querySelector("nav").checkVisibility()`)
	w.check(`getComputedStyle(document.body).color === "rgb(26, 28, 31)"`)
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	eval[bool](w, `dispatchEvent(new Event("afterprint"))`)
	w.check(`document.querySelectorAll("#changes details[open]").length === 0`)
}

// TestBrowserPrintedPage: on paper, the overview of 18 hosts is the first page, of A4 with its
// margins; what follows begins on another.
func TestBrowserPrintedPage(t *testing.T) {
	t.Parallel()
	const width, height = 703, 1031.0 // 186 by 273 mm in pixels
	w := open(t, htmlOf(t, madeFleet(18)...), width)
	call(w, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	if bottom := eval[float64](w, `document.getElementById("hosts").getBoundingClientRect().bottom`); bottom > height {
		t.Errorf("the hosts end at %.0f pixels of %.0f", bottom, height)
	}
	w.check(`document.documentElement.scrollWidth <= innerWidth`)
	w.check(`getComputedStyle(document.getElementById("changes")).breakBefore === "page"`)
}
