package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CA is a certificate authority with a real ACME server (RFC 8555), pebble, on the lab's gateway
// addresses. It validates names by HTTP on port 80 of hosts, and finds the hosts only by the names
// of AddHost. It keeps nothing: each CA has another root and no account. It ends with the process
// that started it, with Close, or with the lab.
type CA struct {
	DirectoryURL string // of ACME; its host is CAName
	Root         []byte // PEM certificate, the root of all certificates that the CA issues
	TransportCA  []byte // PEM certificate that verifies the ACME server itself, see Host.TrustCA

	lab    *Lab
	member string // name of its control group and directory
	dir    string
	ports  caPorts
	front  *caFront
	client *http.Client
}

// CAName is the host name of each CA of a lab, on hosts that trust it.
const CAName = "acme.lab"

// CAOptions describe a CA.
type CAOptions struct {
	// Validity is how long certificates are valid, in whole seconds. The default is 90 days.
	Validity time.Duration
}

// caPorts are the ports of a CA on the lab's gateway addresses.
type caPorts struct {
	front      int // of DirectoryURL
	acme       int // of pebble, behind the front
	management int // of pebble
	dns        int // of pebble-challtestsrv
	names      int // of pebble-challtestsrv's management
}

// maxCAs limits the CAs of a lab at one time.
const maxCAs = 100

// StartCA starts a CA beside the others of the lab. The first one on a machine downloads pebble.
// The error wraps ErrUnavailable if this machine cannot have one.
func (l *Lab) StartCA(ctx context.Context, options CAOptions) (*CA, error) {
	if options.Validity == 0 {
		options.Validity = 90 * 24 * time.Hour
	}
	seconds := int64(options.Validity / time.Second)
	if seconds < 1 {
		return nil, fmt.Errorf("starting a CA: the validity must be at least 1s, not %s", options.Validity)
	}
	server, names, err := l.cache.pebble(ctx, l.recipe.Codename)
	if err != nil {
		return nil, fmt.Errorf("starting a CA: %w", err)
	}
	ca, err := l.reserveCA()
	if err != nil {
		return nil, fmt.Errorf("starting a CA: %w", err)
	}
	err = ca.startNames(ctx, names)
	if err == nil {
		err = ca.startServer(ctx, server, seconds)
	}
	if err == nil {
		ca.front, err = newCAFront(ctx, ca)
	}
	if err == nil {
		err = ca.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting a CA: %w", errors.Join(err, ca.Close(ctx)))
	}
	return ca, nil
}

// reserveCA creates the directory of a CA, whose number determines the ports.
func (l *Lab) reserveCA() (*CA, error) {
	for i := range maxCAs {
		member := fmt.Sprintf(".ca-%d", i)
		dir := filepath.Join(l.dir, member)
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		first := 14000 + 10*i
		ca := &CA{lab: l, member: member, dir: dir, ports: caPorts{first, first + 1, first + 2, first + 3, first + 4}}
		ca.DirectoryURL = fmt.Sprintf("https://%s:%d/dir", CAName, first)
		return ca, nil
	}
	return nil, fmt.Errorf("lab %s already has %d CAs", l.Name, maxCAs)
}

// on returns the address of a port of the CA on the machine.
func (ca *CA) on(port int) string { return net.JoinHostPort(ca.lab.Gateway, strconv.Itoa(port)) }

// startNames starts the DNS server, which knows no name yet.
func (ca *CA) startNames(ctx context.Context, program string) error {
	answers := func() bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", ca.on(ca.ports.names))
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}
	_, err := ca.lab.daemon(ctx, ca.member, filepath.Join(ca.dir, "names.log"), nil, answers, program,
		"-dns01", ca.on(ca.ports.dns), "-management", ca.on(ca.ports.names),
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv4", "", "-defaultIPv6", "")
	return err
}

// startServer starts the ACME server, and reads its root.
func (ca *CA) startServer(ctx context.Context, program string, validity int64) error {
	cert, key := filepath.Join(ca.dir, "cert.pem"), filepath.Join(ca.dir, "key.pem")
	if err := ca.writeTransport(cert, key); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": ca.on(ca.ports.acme), "managementListenAddress": ca.on(ca.ports.management),
		"certificate": cert, "privateKey": key, "httpPort": 80, "tlsPort": 443, "certificateValidityPeriod": validity,
	}})
	if err != nil {
		return err
	}
	file := filepath.Join(ca.dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return err
	}
	// It does not wait before it validates, validates a name each time, and accepts every nonce, since
	// clients give up when two in a row are refused.
	env := []string{"PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=0"}
	answers := func() bool {
		root, err := ca.get(ctx, "https://"+ca.on(ca.ports.management)+"/roots/0")
		if err != nil {
			return false
		}
		ca.Root = root
		_, err = ca.get(ctx, "https://"+ca.on(ca.ports.acme)+"/dir")
		return err == nil
	}
	_, err = ca.lab.daemon(ctx, ca.member, filepath.Join(ca.dir, "pebble.log"), env, answers, program,
		"-config", file, "-dnsserver", ca.on(ca.ports.dns))
	return err
}

// writeTransport makes the certificate of the ACME server itself, and the client that verifies it.
func (ca *CA) writeTransport(cert, key string) error {
	t, err := newTransport(ca.lab.Gateway, ca.lab.Gateway6)
	if err != nil {
		return err
	}
	ca.TransportCA = t.ca
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(t.ca)
	// Without a proxy, whatever the environment says.
	ca.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	return errors.Join(os.WriteFile(cert, t.cert, 0o600), os.WriteFile(key, t.key, 0o600))
}

// get returns the body of an answer of one of the CA's servers.
func (ca *CA) get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return ca.do(req)
}

func (ca *CA) do(req *http.Request) ([]byte, error) {
	resp, err := ca.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", req.URL, resp.Status)
	}
	return body, err
}

// AddHost makes name resolve for the CA, to the addresses that are not "". It replaces the
// addresses that the name had.
func (ca *CA) AddHost(ctx context.Context, name, ipv4, ipv6 string) error {
	for _, record := range []struct{ kind, address string }{{"a", ipv4}, {"aaaa", ipv6}} {
		if err := ca.manage(ctx, "clear-"+record.kind, map[string]any{"host": name}); err != nil {
			return err
		}
		if record.address == "" {
			continue
		}
		if err := ca.manage(ctx, "add-"+record.kind, map[string]any{"host": name, "addresses": []string{record.address}}); err != nil {
			return err
		}
	}
	return nil
}

// RemoveHost makes name resolve no longer.
func (ca *CA) RemoveHost(ctx context.Context, name string) error {
	return ca.AddHost(ctx, name, "", "")
}

// manage sends a command to the DNS server.
func (ca *CA) manage(ctx context.Context, command string, arguments any) error {
	body, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	url := "http://" + ca.on(ca.ports.names) + "/" + command
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if _, err := ca.do(req); err != nil {
		return fmt.Errorf("changing the names of the CA: %w", err)
	}
	return nil
}

// Start lets the CA answer again after Stop. It has kept its accounts, certificates and root.
func (ca *CA) Start() error { return ca.front.start() }

// Stop makes the CA refuse connections, as if it were down.
func (ca *CA) Stop() error { return ca.front.stop() }

// Close ends the CA and removes everything of it, even if ctx is cancelled.
func (ca *CA) Close(ctx context.Context) error {
	var err error
	if ca.front != nil {
		err = ca.front.stop()
	}
	err = errors.Join(err, endCgroup(context.WithoutCancel(ctx), ca.lab.Name, ca.member))
	if err == nil {
		err = os.RemoveAll(ca.dir)
	}
	return err
}

// Log returns the end of what the ACME server and the DNS server printed.
func (ca *CA) Log() string {
	var b strings.Builder
	for _, name := range []string{"pebble.log", "names.log"} {
		data, err := os.ReadFile(filepath.Join(ca.dir, name))
		fmt.Fprintf(&b, "--- %s\n%s\n", name, lastLines(string(data), 60))
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}

// TrustCA makes the host trust the CA's own certificate, and resolve CAName. The certificates that
// the CA issues are not trusted by that.
func (h *Host) TrustCA(ctx context.Context, ca *CA) error {
	file := "/usr/local/share/ca-certificates/mirrorform-lab" + ca.member + ".crt"
	if err := h.Write(file, ca.TransportCA, 0o644); err != nil {
		return err
	}
	if _, err := h.Run(ctx, "update-ca-certificates"); err != nil {
		return err
	}
	hosts, err := h.Read("/etc/hosts")
	if err != nil || bytes.Contains(hosts, []byte(" "+CAName+"\n")) {
		return err
	}
	for _, address := range []string{ca.lab.Gateway, ca.lab.Gateway6} {
		if address != "" {
			hosts = append(hosts, address+" "+CAName+"\n"...)
		}
	}
	return h.Write("/etc/hosts", hosts, 0o644)
}
