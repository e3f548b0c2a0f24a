package report

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserEnv is the environment variable that says what the tests of the page do where there is no browser: with the value "require" they fail, and else
// they are skipped. With "skip" they are skipped everywhere.
const browserEnv = "MIRRORFORM_BROWSER"

// unavailable skips the test, or fails it where a browser is required.
func unavailable(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(browserEnv) == "require" {
		t.Fatalf("%s=require: %v", browserEnv, err)
	}
	t.Skipf("%v (%s=require makes this a failure)", err, browserEnv)
}

// chromium is the browser of the test binary, which its tests share; each has windows of its own.
var chromium struct {
	once   sync.Once
	parent context.Context
	err    error
	close  func()
}

func startChromium() {
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		chromium.err = errors.New("needs Chromium (Debian's package chromium)")
		return
	}
	data, err := os.MkdirTemp("", "mirrorform-chromium-")
	if err != nil {
		chromium.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(data), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, closeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	parent, closeBrowser := chromedp.NewContext(allocator)
	chromium.parent = parent
	chromium.close = func() {
		closeBrowser()
		closeAllocator()
		_ = os.RemoveAll(data) // what Chromium still writes as it ends is in a temporary directory
	}
	if err := chromedp.Do(parent); err != nil {
		chromium.err = fmt.Errorf("%s does not start: %w", program, err)
	}
}

// window is a page in a browser window.
type window struct {
	context.Context
	t      *testing.T
	mu     sync.Mutex
	loaded []string // what it asked for
	said   []string // errors and warnings of the browser
}

// open writes a page to a file and opens that in a window of the given width. The test fails if the page asks for anything but itself, or if the browser
// says anything against it.
func open(t *testing.T, page []byte, width int64, actions ...chromedp.Action[chromedp.Void]) *window {
	t.Helper()
	if os.Getenv(browserEnv) == "skip" {
		t.Skip("needs a browser, and " + browserEnv + "=skip is set")
	}
	chromium.once.Do(startChromium)
	if chromium.err != nil {
		unavailable(t, chromium.err)
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	address := (&url.URL{Scheme: "file", Path: file}).String()
	ctx, closeWindow := chromedp.NewContext(chromium.parent, chromedp.WithNewBrowserContext()) // what one page stores, others do not see
	t.Cleanup(closeWindow)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	t.Cleanup(cancel)
	w := &window{Context: ctx, t: t}
	note := func(list *[]string, text string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		*list = append(*list, text)
	}
	err := chromedp.Listen(ctx, func(e any) {
		switch e := e.(type) {
		case *network.EventRequestWillBeSent:
			if e.Request.URL != address {
				note(&w.loaded, e.Request.URL)
			}
		case *log.EventEntryAdded:
			note(&w.said, e.Entry.Text)
		case *runtime.EventExceptionThrown:
			note(&w.said, e.ExceptionDetails.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.loaded) > 0 {
			t.Errorf("the page asked for %q", w.loaded)
		}
		if len(w.said) > 0 {
			t.Errorf("the browser says %q", w.said)
		}
	})
	call(w, network.Enable, network.EnableParams{})
	call(w, log.Enable, cdp.Empty{})
	w.do(append(actions, chromedp.EmulateViewport(width, 900), chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS("footer")))...)
	return w
}

func (w *window) do(actions ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	if err := chromedp.Do(w.Context, actions...); err != nil {
		w.t.Fatal(err)
	}
}

// call runs a command of the browser's protocol.
func call[P, R any](w *window, command cdp.Command[P, R], params P) R {
	w.t.Helper()
	r, err := chromedp.Call(w.Context, command, params)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// eval is the value of an expression on the page.
func eval[T any](w *window, expression string) T {
	w.t.Helper()
	v, err := chromedp.Run(w.Context, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%v: %s", err, expression)
	}
	return v
}

// Which version of axe-core checks the page. It is kept in the user's cache as it came from npm.
const (
	axeVersion   = "4.14.1"
	axeIntegrity = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==" // SHA-512, as the registry has it
)

// axe returns axe-core's script. It gets the package by npm the first time.
var axe = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "mirrorform", "npm")
	name := "axe-core-" + axeVersion + ".tgz"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		data, err = pack(dir, name)
	}
	if err != nil {
		return "", err
	}
	if sum := sha512.Sum512(data); base64.StdEncoding.EncodeToString(sum[:]) != axeIntegrity {
		return "", fmt.Errorf("%s is not the package that these tests were made with; remove it", filepath.Join(dir, name))
	}
	return member(data, "package/axe.min.js")
})

// pack gets a package's file by npm.
func pack(dir, name string) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp(dir, "pack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)
	out, err := exec.Command("npm", "pack", "--silent", "--pack-destination", temporary, "axe-core@"+axeVersion).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("get axe-core by npm: %w: %s", err, out)
	}
	if err := os.Rename(filepath.Join(temporary, name), filepath.Join(dir, name)); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, name))
}

// member is one file of a .tgz archive.
func member(archive []byte, name string) (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return "", err
	}
	files := tar.NewReader(z)
	for {
		head, err := files.Next()
		if err != nil {
			return "", fmt.Errorf("%s in the archive: %w", name, err)
		}
		if head.Name == name {
			data, err := io.ReadAll(files)
			return string(data), err
		}
	}
}

// checkAxe fails the test for each violation that axe-core finds.
func (w *window) checkAxe() {
	w.t.Helper()
	script, err := axe()
	if err != nil {
		unavailable(w.t, err)
	}
	w.do(chromedp.Evaluate[chromedp.Void](script))
	type result struct {
		Passes     int
		Violations []struct {
			ID, Help string
			Nodes    []string
		}
	}
	r := eval[result](w, `axe.run().then(r => ({passes: r.passes.length,
		violations: r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200) + " " + n.failureSummary)}))}))`)
	if r.Passes < 20 {
		w.t.Errorf("axe-core found only %d rules to pass", r.Passes)
	}
	for _, v := range r.Violations {
		w.t.Errorf("%s: %s\n  %s", v.ID, v.Help, strings.Join(v.Nodes[:min(3, len(v.Nodes))], "\n  "))
	}
}
