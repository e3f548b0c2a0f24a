package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// DefaultMirrorList is the URL of all mirrors that AlmaLinux's mirror service knows, including
// private ones, with any status: the route /debug/json/all_mirrors of src/backend/main.py in
// github.com/AlmaLinux/mirrors. The mirrorlists themselves have only the nearest mirrors.
const DefaultMirrorList = "https://mirrors.almalinux.org/debug/json/all_mirrors"

const (
	mirrorListTimeout = time.Minute
	maxMirrorList     = 256 << 20 // bytes; cloud mirrors have thousands of networks each
	maxMirror         = 8 << 20   // bytes of one entry
	maxStatus         = 200       // bytes
)

// Listing is the mirror service's entry of a mirror.
type Listing struct {
	Listed bool   // the service knows the mirror
	Status string // as stored by the service: "ok", "expired", …; untrusted text
}

// ReadMirrorList reads the listings of named mirrors from the mirror service, at a URL such as
// DefaultMirrorList. The result also has the mirrors that the service does not know. The service
// reloads its list from time to time, so it lags behind the merged files.
func ReadMirrorList(ctx context.Context, url, userAgent string, names []string) (map[string]Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, mirrorListTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("the mirror list at %s: %w", url, err)
	}
	req.Header.Set("User-Agent", userAgent)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = maxHeader
	defer transport.CloseIdleConnections()
	answer, err := Client(transport).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the mirror list: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("the mirror list at %s: the service answers %d %s",
			url, answer.StatusCode, http.StatusText(answer.StatusCode))
		return nil, errors.Join(err, answer.Body.Close())
	}
	found, err := parseMirrorList(io.LimitReader(answer.Body, maxMirrorList), names)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("the mirror list at %s: %w", url, err)
	}
	return found, nil
}

// parseMirrorList reads {"status": "ok", "result": {NAME: {"status": …, …}, …}}, one mirror at a
// time. An empty list is an error: the service has rather lost its data than all mirrors.
func parseMirrorList(in io.Reader, names []string) (map[string]Listing, error) {
	found := map[string]Listing{}
	for _, name := range names {
		found[name] = Listing{}
	}
	bounded := &rationed{in: in, left: maxMirror}
	d := json.NewDecoder(bounded)
	mirrors := 0
	err := members(d, func(key string) error {
		if key != "result" {
			var other json.RawMessage
			return d.Decode(&other)
		}
		return members(d, func(mirror string) error {
			mirrors++
			bounded.left = maxMirror
			var m struct{ Status string }
			if err := d.Decode(&m); err != nil {
				return err
			}
			for _, name := range names {
				if strings.EqualFold(name, mirror) {
					found[name] = Listing{Listed: true, Status: m.Status[:min(len(m.Status), maxStatus)]}
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("not a mirror list of AlmaLinux's service: %w", err)
	}
	if mirrors == 0 {
		return nil, errors.New("the list has no mirrors, so the service may have lost its data")
	}
	return found, nil
}

// rationed is a reader that fails after left bytes. It limits the size of a value, which the
// decoder keeps in memory.
type rationed struct {
	in   io.Reader
	left int
}

// Read reads from in.
func (r *rationed) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("an entry is larger than %d MiB", maxMirror>>20)
	}
	n, err := r.in.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// members reads an object. It calls each for every member, which must read the member's value.
func members(d *json.Decoder, each func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.New("expected an object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return errors.New("expected a name")
		}
		if err := each(name); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
