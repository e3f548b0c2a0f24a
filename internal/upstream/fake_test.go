//go:build unix

package upstream

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// now is the tests' time.
var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

const mirrorName = "mirror.example.org"

// tiny is a service that asks for little.
func tiny() *Service {
	return &Service{
		Service: mirrorsd.DefaultService(), Versions: []string{"9", "9.8", "10.2"}, DuplicatedVersions: map[string]string{"9": "9.8"},
		Modules: map[string][]string{"kitten": {"10"}},
		Arches:  map[string][]string{"9": {"x86_64", "aarch64"}, "10": {"x86_64"}, "10-kitten": {"x86_64"}},
		Repos: []Repo{
			{Name: "baseos", Path: "BaseOS/$basearch/os/"},
			{Name: "rt", Path: "RT/$basearch/os/", Versions: []string{"9.8"}, Arches: []string{"x86_64"}},
		},
	}
}

// fake is a mirror: real servers for HTTP, HTTPS and rsync, on 127.0.0.1 and ::1.
type fake struct {
	t       *testing.T
	service *Service
	// files are what is served, by URL path.
	files map[string]string
	// wrap changes what a protocol ("http", "https") serves over a family ("ipv4", "ipv6").
	wrap func(protocol, family string, next http.Handler) http.Handler
	// listed says that directories are listed.
	listed bool
	// hidden are addresses on which a protocol does not listen: "https/ipv6".
	hidden map[string]bool
	// modules are the rsync daemon's; nil is no daemon.
	modules map[string]bool // to whether the module is in the list
	expires time.Time       // of the certificate
	names   []string        // of the certificate
	file    mirrorsd.File
	roots   *x509.CertPool
	options Options
	tune    func(v *Verifier)
}

// newFake returns a mirror in perfect order, not started yet.
func newFake(t *testing.T, s *Service) *fake {
	f := &fake{
		t: t, service: s, files: map[string]string{}, listed: true, hidden: map[string]bool{},
		modules: map[string]bool{"almalinux": true}, expires: now.AddDate(0, 0, 60), names: []string{mirrorName},
	}
	f.put("/almalinux/TIME", fmt.Sprintf("%d\n", now.Add(-time.Hour).Unix()))
	for _, p := range s.Repodata() {
		f.repo("/almalinux/"+p, now.AddDate(0, 0, -2))
	}
	for _, p := range s.ISOs() {
		f.put("/almalinux/"+p, "an image")
	}
	for module := range s.Modules {
		f.put("/almalinux-"+module+"/TIME", fmt.Sprintf("%d\n", now.Add(-time.Hour).Unix()))
		for _, p := range s.ModuleRepodata(module) {
			f.repo("/almalinux-"+module+"/"+p, now.AddDate(0, 0, -2))
		}
	}
	return f
}

func (f *fake) put(path, content string) { f.files[path] = content }

// repo makes a repository: repomd.xml and the two files that it names.
func (f *fake) repo(path string, made time.Time) {
	dir := strings.TrimSuffix(path, "repomd.xml")
	var b strings.Builder
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?><repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>%d</revision>`, made.Unix())
	for _, kind := range []string{"primary", "filelists"} {
		content := kind + " of " + path
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		name := sum + "-" + kind + ".xml.gz"
		f.put(dir+name, content)
		fmt.Fprintf(&b, `<data type="%s"><checksum type="sha256">%s</checksum><location href="repodata/%s"/><timestamp>%d</timestamp><size>%d</size></data>`,
			kind, sum, name, made.Unix(), len(content))
	}
	b.WriteString("</repomd>\n")
	f.put(path, b.String())
}

// remove removes files by a part of their path, and tells how many there were.
func (f *fake) remove(part string) int {
	n := 0
	for p := range f.files {
		if strings.Contains(p, part) {
			delete(f.files, p)
			n++
		}
	}
	if n == 0 {
		f.t.Fatalf("no file has %s in its path", part)
	}
	return n
}

// ServeHTTP serves the files.
func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if content, ok := f.files[r.URL.Path]; ok {
		_, _ = io.WriteString(w, content)
		return
	}
	dir, found := strings.TrimSuffix(r.URL.Path, "/")+"/", map[string]bool{}
	for p := range f.files {
		if rest, ok := strings.CutPrefix(p, dir); ok {
			name, _, below := strings.Cut(rest, "/")
			if below {
				name += "/"
			}
			found[name] = true
		}
	}
	switch {
	case len(found) == 0:
		http.NotFound(w, r)
	case !strings.HasSuffix(r.URL.Path, "/"):
		http.Redirect(w, r, dir, http.StatusMovedPermanently)
	case !f.listed:
		_, _ = io.WriteString(w, "<html>Welcome!</html>")
	default:
		for name := range found {
			_, _ = fmt.Fprintf(w, "<a href=%q>%s</a>\n", url.PathEscape(strings.TrimSuffix(name, "/")), name)
		}
	}
}

// start starts the servers.
func (f *fake) start() {
	f.t.Helper()
	cert := f.certificate()
	serve := func(protocol, family string, l net.Listener) {
		handler := http.Handler(f)
		if f.wrap != nil {
			handler = f.wrap(protocol, family, handler)
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		server.ErrorLog = nullLog()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if protocol == "https" {
				_ = server.ServeTLS(l, "", "")
			} else {
				_ = server.Serve(l)
			}
		}()
		f.t.Cleanup(func() { _ = server.Close(); <-done })
	}
	httpPort := f.listen("http", serve)
	httpsPort := f.listen("https", serve)
	f.file = mirrorsd.File{Name: mirrorName}
	f.file.Address.HTTP = fmt.Sprintf("http://%s:%d/almalinux/", mirrorName, httpPort)
	f.file.Address.HTTPS = fmt.Sprintf("https://%s:%d/almalinux/", mirrorName, httpsPort)
	f.file.AddressOptional.Kitten.HTTP = fmt.Sprintf("http://%s:%d/almalinux-kitten/", mirrorName, httpPort)
	if f.modules != nil {
		f.file.Address.Rsync = fmt.Sprintf("rsync://%s:%d/almalinux/", mirrorName, f.listen("rsync", f.rsync))
	} else {
		f.hidden["rsync/ipv4"], f.hidden["rsync/ipv6"] = true, true
		f.file.Address.Rsync = fmt.Sprintf("rsync://%s:%d/almalinux/", mirrorName, f.listen("rsync", f.rsync))
	}
	f.options.Service, f.options.Roots = f.service, f.roots
	if f.options.Resolve == nil {
		f.options.Resolve = map[string][]netip.Addr{mirrorName: {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}
	}
	f.options.Now = func() time.Time { return now }
	if f.options.Backoff == 0 {
		f.options.Backoff = time.Millisecond
	}
	if f.options.Timeout == 0 {
		f.options.Timeout = time.Minute
	}
	if f.options.Metadata == 0 {
		f.options.Metadata = 1 << 20
	}
}

// listen listens on one port of both families, but for what is hidden.
func (f *fake) listen(protocol string, serve func(protocol, family string, l net.Listener)) int {
	f.t.Helper()
	for range 100 {
		v4, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			f.t.Fatal(err)
		}
		port := v4.Addr().(*net.TCPAddr).Port
		v6, err := net.Listen("tcp6", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			_ = v4.Close()
			continue
		}
		listeners := map[string]net.Listener{"ipv4": v4, "ipv6": v6}
		if !f.hide(protocol, listeners) {
			continue
		}
		for family, l := range listeners {
			serve(protocol, family, l)
		}
		return port
	}
	f.t.Fatal("no port is free on both 127.0.0.1 and ::1")
	return 0
}

// hide exchanges the listeners of hidden families for sockets that refuse connections. If another
// test takes a port in between, it closes all and returns false.
func (f *fake) hide(protocol string, listeners map[string]net.Listener) bool {
	for family, l := range maps.Clone(listeners) {
		if !f.hidden[protocol+"/"+family] {
			continue
		}
		_ = l.Close()
		delete(listeners, family)
		if err := refusing(f.t, l.Addr().(*net.TCPAddr).AddrPort()); err != nil {
			for _, other := range listeners {
				_ = other.Close()
			}
			return false
		}
	}
	return true
}

// refusing binds a port of an address and does not listen on it: connections are refused, and
// nothing else can take the port.
func refusing(t *testing.T, address netip.AddrPort) error {
	t.Helper()
	var to syscall.Sockaddr = &syscall.SockaddrInet4{Port: int(address.Port()), Addr: [4]byte{127, 0, 0, 1}}
	kind := syscall.AF_INET
	if address.Addr().Is6() {
		kind, to = syscall.AF_INET6, &syscall.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}
	}
	fd, err := syscall.Socket(kind, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	return syscall.Bind(fd, to)
}

// rsync serves the beginning of rsync's daemon protocol.
func (f *fake) rsync(_, _ string, l net.Listener) {
	var g sync.WaitGroup
	f.t.Cleanup(func() { _ = l.Close(); g.Wait() })
	g.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			g.Go(func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, "@RSYNCD: 31.0 sha512 sha256\n")
				in := bufio.NewScanner(conn)
				greeted := in.Scan()
				if !greeted || !in.Scan() {
					return
				}
				if in.Text() == "#list" {
					_, _ = io.WriteString(conn, "Welcome\n\n")
					for m, listed := range f.modules {
						if listed {
							_, _ = fmt.Fprintf(conn, "%-15s\tthe tree\n", m)
						}
					}
					_, _ = io.WriteString(conn, "@RSYNCD: EXIT\n")
				} else if _, ok := f.modules[in.Text()]; ok {
					_, _ = io.WriteString(conn, "@RSYNCD: OK\n")
				} else {
					_, _ = fmt.Fprintf(conn, "@ERROR: Unknown module '%s'\n", in.Text())
				}
			})
		}
	})
}

// certificate makes an authority, and a certificate by it.
func (f *fake) certificate() tls.Certificate {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: mirrorName}, DNSNames: f.names, NotBefore: f.expires.AddDate(0, 0, -90), NotAfter: f.expires,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(root)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.roots == nil {
		f.roots = x509.NewCertPool()
		f.roots.AddCert(parsed)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// verify starts the mirror and looks at it.
func (f *fake) verify() *Report {
	f.t.Helper()
	f.start()
	return f.look(Mirror{Host: "fra1", File: f.file})
}

// look looks at the started mirror.
func (f *fake) look(m Mirror) *Report {
	f.t.Helper()
	v := New(f.options)
	if f.tune != nil {
		f.tune(v)
	}
	r, err := v.Verify(f.t.Context(), m)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}
