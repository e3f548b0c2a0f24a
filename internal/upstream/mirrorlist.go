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

// DefaultMirrorList is where AlmaLinux's mirror service prints all mirrors that it knows, private ones included, whatever their status: the route
// /debug/json/all_mirrors of src/backend/main.py in github.com/AlmaLinux/mirrors. The mirrorlists themselves name the nearest few only.
const DefaultMirrorList = "https://mirrors.almalinux.org/debug/json/all_mirrors"

const (
	mirrorListTimeout = time.Minute
	maxMirrorList     = 256 << 20 // bytes; mirrors of clouds have thousands of networks each
	maxMirror         = 8 << 20   // bytes of one entry
	maxStatus         = 200       // bytes
)

// Listing is what the mirror service says of a mirror.
type Listing struct {
	Listed bool   // the service knows it
	Status string // as the service stores it: "ok", "expired", …; not checked in any way
}

// ReadMirrorList asks the mirror service, at a URL such as DefaultMirrorList, what it says of the mirrors of these names; a mirror that it does not
// know is in the result, too. The service reads its list anew from time to time, so that it lags behind the merged files.
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
		return nil, errors.Join(fmt.Errorf("the mirror list at %s: the service answers %d %s", url, answer.StatusCode, http.StatusText(answer.StatusCode)), answer.Body.Close())
	}
	found, err := parseMirrorList(io.LimitReader(answer.Body, maxMirrorList), names)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("the mirror list at %s: %w", url, err)
	}
	return found, nil
}

// parseMirrorList reads {"status": "ok", "result": {NAME: {"status": …, …}, …}}, a mirror at a time. A list without any mirror is an error: it is
// rather a service that has lost its data than one that lists nobody.
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
		return nil, fmt.Errorf("it is not what AlmaLinux's service prints: %w", err)
	}
	if mirrors == 0 {
		return nil, errors.New("it has no mirror at all, which cannot be right")
	}
	return found, nil
}

// rationed is a reader that gives so many bytes until it is allowed more: the decoder keeps one
// value in memory, whatever its size.
type rationed struct {
	in   io.Reader
	left int
}

// Read reads from in.
func (r *rationed) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("an entry of it is larger than %d MiB", maxMirror>>20)
	}
	n, err := r.in.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// members reads an object: each has to read the value of the member that it is called with.
func members(d *json.Decoder, each func(key string) error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return errors.New("an object is wanted")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return errors.New("a name is wanted")
		}
		if err := each(name); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}
