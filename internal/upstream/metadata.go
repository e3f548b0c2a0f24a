package upstream

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	maxData     = 100     // files in a repomd.xml
	maxDataSize = 1 << 30 // bytes of such a file
)

// repomd is the part of a repository's index (https://linux.duke.edu/projects/metadata/repo) that
// is checked.
type repomd struct {
	XMLName  xml.Name `xml:"repomd"`
	Revision string   `xml:"revision"`
	Data     []data   `xml:"data"`
}

// data is a metadata file that repomd.xml names.
type data struct {
	Type     string `xml:"type,attr"`
	Checksum struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	} `xml:"checksum"`
	Location struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
	Size      int64   `xml:"size"`
	Timestamp float64 `xml:"timestamp"`
}

// parseRepomd reads a repomd.xml that dnf could use.
func parseRepomd(text []byte) (*repomd, error) {
	var r repomd
	if err := xml.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("not a valid repomd.xml: %s", clean(err.Error()))
	}
	if !slices.ContainsFunc(r.Data, func(d data) bool { return d.Type == "primary" }) {
		return nil, errors.New("it names no primary metadata, so dnf finds no packages")
	}
	if len(r.Data) > maxData {
		return nil, fmt.Errorf("it names %d files, more than the limit of %d", len(r.Data), maxData)
	}
	for _, d := range r.Data {
		href := d.Location.Href
		if u, err := url.Parse(href); err != nil || u.IsAbs() || u.Host != "" || u.RawQuery != "" ||
			href != path.Clean(href) || strings.HasPrefix(href, "/") || strings.HasPrefix(href, "..") {
			return nil, fmt.Errorf("its %s is at %q, which is not a path in the repository", clean(d.Type), clean(href))
		}
		if d.Size < 0 || d.Size > maxDataSize {
			return nil, fmt.Errorf("it gives %d bytes as the size of its %s", d.Size, clean(d.Type))
		}
	}
	return &r, nil
}

// made returns when the repository was made: its revision or the time of its newest file, whichever
// is later. It is zero if neither is a Unix time.
func (r *repomd) made() time.Time {
	seconds, _ := strconv.ParseFloat(strings.TrimSpace(r.Revision), 64)
	if !(seconds >= 1e9 && seconds < 1e11) {
		seconds = 0
	}
	for _, d := range r.Data {
		if d.Timestamp >= 1e9 && d.Timestamp < 1e11 {
			seconds = max(seconds, d.Timestamp)
		}
	}
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// newHash returns the hash for a checksum type, or nil if the type is unknown.
func newHash(kind string) hash.Hash {
	switch strings.ToLower(kind) {
	case "sha", "sha1":
		return sha1.New()
	case "sha224":
		return sha256.New224()
	case "sha256":
		return sha256.New()
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return nil
}

// named is a metadata file with the repomd.xml that names it.
type named struct {
	repo string // path of the repomd.xml
	data
	content bool // compare the content, not only the size
}

// atMost returns how many bytes of the file to read: its size, or a default if repomd.xml has no
// size.
func (f named) atMost() int64 {
	if f.Size == 0 {
		return maxPage
	}
	return f.Size
}

// metadata compares the files in each repomd.xml with its checksums and sizes. The budget limits
// how many are compared by content, the smallest first.
func (t *tree) metadata(ctx context.Context) {
	var files []named
	for _, p := range t.repodata() {
		o, ok := t.primary.file(p)
		if !ok || o.body == nil {
			continue
		}
		index, err := parseRepomd(o.body)
		if err != nil {
			t.primary.add(Error, CheckMetadata, p, "", "%s", err.Error())
			continue
		}
		for _, d := range index.Data {
			files = append(files, named{repo: p, data: d})
		}
	}
	slices.SortStableFunc(files, func(a, b named) int { return cmp.Compare(a.Size, b.Size) })
	budget := t.p.v.o.Metadata
	for i := range files {
		budget -= files[i].atMost()
		files[i].content = budget >= 0 && newHash(files[i].Checksum.Type) != nil
	}
	t.p.expect(len(files))
	wrong := map[string][]string{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(t.p.v.o.PerHost)
	for _, f := range files {
		g.Go(func() error {
			if fault := t.file(ctx, f); fault != "" {
				mu.Lock()
				wrong[f.repo] = append(wrong[f.repo], fault)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait()
	for repo, faults := range wrong {
		if ctx.Err() != nil || t.changed(ctx, repo) {
			continue
		}
		slices.Sort(faults)
		for _, fault := range faults {
			t.primary.add(Error, CheckMetadata, repo,
				"a sync was incomplete, or another program changed the tree: sync again", "%s", fault)
		}
	}
}

// changed reports whether a repomd.xml has changed in the meantime, so that old files may be
// missing.
func (t *tree) changed(ctx context.Context, repo string) bool {
	t.p.expect(1)
	before, _ := t.primary.file(repo)
	now, err := t.primary.fetch(ctx, repo, maxRepomd, false)
	return err == nil && now.ok() && !bytes.Equal(now.body, before.body)
}

// file compares one metadata file with repomd.xml, and returns the fault or "".
func (t *tree) file(ctx context.Context, f named) string {
	answer, err := t.primary.fetch(ctx, path.Join(path.Dir(f.repo), "..", f.Location.Href), f.atMost(), !f.content)
	what := clean(f.Type)
	switch {
	case ctx.Err() != nil, errors.Is(err, errGaveUp):
		return ""
	case err != nil:
		return "its " + what + " cannot be fetched: " + err.Error()
	case !answer.ok():
		return "its " + what + " is missing: " + statusText(answer.status)
	case !f.content, answer.cut && f.Size == 0:
		t.counted(false)
		// A size of 0 means that repomd.xml has none. Without a length in the header, the size is
		// unknown.
		if f.Size > 0 && answer.length >= 0 && answer.length != f.Size {
			return fmt.Sprintf("its %s does not match its size in repomd.xml", what)
		}
		return ""
	}
	t.counted(true)
	h := newHash(f.Checksum.Type)
	_, _ = h.Write(answer.body)
	if answer.cut || !strings.EqualFold(hex.EncodeToString(h.Sum(nil)), strings.TrimSpace(f.Checksum.Value)) {
		return fmt.Sprintf("its %s does not match its checksum in repomd.xml", what)
	}
	return ""
}

// counted counts a compared file.
func (t *tree) counted(content bool) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if content {
		t.p.report.Verified++
	} else {
		t.p.report.Sized++
	}
}
