package publish

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/internal/mirrorsd"
)

// directory is where upstream keeps its entries.
const directory = "mirrors.d"

// list is upstream's list of mirrors at one commit of its default branch.
type list struct {
	repo    repository
	objects *objects
	tip     *commit
	files   tree
	reads   int  // of single files
	whole   bool // the archive was read
}

// readList reads the newest commit of upstream.
func readList(ctx context.Context, o *objects, up repository) (*list, error) {
	tip, err := o.api.branch(ctx, up, up.branch)
	if err != nil {
		return nil, err
	}
	if tip == nil {
		return nil, fmt.Errorf("%s has no branch %s, its default branch, or is empty; "+
			"run the command again if it was just renamed", up, up.branch)
	}
	files, err := o.tree(ctx, up, tip)
	if err != nil {
		return nil, err
	}
	if e, ok := files[directory]; ok {
		return nil, fmt.Errorf("%s in %s is not a directory (mode %s), "+
			"so this is not a repository of mirrors.d files", directory, up, e.mode)
	}
	return &list{repo: up, objects: o, tip: tip, files: files}, nil
}

// entry is a file of mirrors.d.
type entry struct {
	path string
	mode string
	blob string // git's name of the content
	text []byte
}

// read returns a file of mirrors.d of a tree of repository r, or nil if it is missing. Symlinks,
// submodules, directories and files above the size limit are errors.
func (o *objects) read(ctx context.Context, r repository, t tree, file string) (*entry, error) {
	e, ok := t[file]
	switch {
	case !ok && t.hasDirectory(file):
		return nil, fmt.Errorf("%s is not a regular file in the repository, but a directory", file)
	case !ok:
		return nil, nil
	case e.mode == modeSymlink:
		return nil, fmt.Errorf("%s is a symbolic link in the repository and is not followed; "+
			"ask upstream to replace it with a regular file", file)
	case e.mode != modeRegular && e.mode != modeExecutable:
		return nil, fmt.Errorf("%s is not a regular file in the repository (mode %s)", file, e.mode)
	case e.size > mirrorsd.MaxSize:
		return nil, fmt.Errorf("%s has %d bytes in the repository, more than the limit of %d bytes", file, e.size,
			mirrorsd.MaxSize)
	}
	text, err := o.blob(ctx, r, e.sha)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &entry{path: file, mode: e.mode, blob: e.sha, text: text}, nil
}

func (t tree) hasDirectory(name string) bool {
	for file := range t {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// maxReads is how many files are read one by one. A fleet's are read together, since a request
// without a token has a rate limit of 60 an hour.
const maxReads = 5

// read returns a file of upstream's list, or nil if it is missing.
func (l *list) read(ctx context.Context, file string) (*entry, error) {
	if e, ok := l.files[file]; ok && l.objects.blobs[e.sha] == nil {
		if l.reads++; l.reads > maxReads {
			if err := l.readAll(ctx, l.entries()); err != nil {
				return nil, err
			}
		}
	}
	return l.objects.read(ctx, l.repo, l.files, file)
}

// entries returns the paths of all mirrors' files that can be read.
func (l *list) entries() []string {
	var paths []string
	for _, file := range slices.Sorted(maps.Keys(l.files)) {
		e := l.files[file]
		regular := e.mode == modeRegular || e.mode == modeExecutable
		if path.Dir(file) == directory && path.Ext(file) == ".yml" && regular && e.size <= mirrorsd.MaxSize {
			paths = append(paths, file)
		}
	}
	return paths
}

// find returns the path of a mirror's file upstream: mirrors.d/NAME.yml, or another file whose key
// name has this value. One in fifteen of upstream's files is named differently.
func (l *list) find(ctx context.Context, name string) (string, error) {
	usual := path.Join(directory, name+".yml")
	if _, ok := l.files[usual]; ok || l.files.hasDirectory(usual) {
		return usual, nil
	}
	others := l.entries()
	if err := l.readAll(ctx, others); err != nil {
		return "", err
	}
	for _, file := range others {
		text, err := l.objects.blob(ctx, l.repo, l.files[file].sha)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", file, err)
		}
		// Another mirror's file may have errors, which do not matter here.
		if d, err := mirrorsd.ParseDocument(text); err == nil && strings.EqualFold(d.Name(), name) {
			return file, nil
		}
	}
	return usual, nil
}

// maxArchive bounds the unpacked archive of upstream, in bytes. Upstream has about 0.3 MB.
const maxArchive = 256 << 20

// readAll reads files in one request, as an archive: upstream has hundreds of them.
func (l *list) readAll(ctx context.Context, files []string) error {
	missing := map[string]string{} // the blobs' names, by path
	for _, file := range files {
		if _, ok := l.objects.blobs[l.files[file].sha]; !ok {
			missing[file] = l.files[file].sha
		}
	}
	if len(missing) < 2 || l.whole {
		return nil
	}
	l.whole = true
	a := l.objects.api
	return a.do(ctx, "download the files of "+l.repo.String(), true, func(ctx context.Context) error {
		req, err := a.client.NewRequest(ctx, http.MethodGet,
			fmt.Sprintf("repos/%s/%s/tarball/%s", l.repo.owner, l.repo.name, l.tip.sha), nil)
		if err != nil {
			return err
		}
		answer, err := a.client.BareDo(req)
		if err != nil {
			return err
		}
		return errors.Join(l.unpack(answer.Body, missing), answer.Body.Close())
	})
}

// unpack keeps the files of an archive whose content is that of the objects in missing. What an
// archive lacks, since a repository can exclude and change files (gitattributes(5), "Creating an
// archive"), is read one by one.
func (l *list) unpack(archive io.Reader, missing map[string]string) error {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("GitHub's answer is not an archive: %w", err)
	}
	r := tar.NewReader(io.LimitReader(unzipped, maxArchive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("GitHub's answer is not a complete archive: %w", err)
		}
		_, file, _ := strings.Cut(h.Name, "/") // GitHub puts everything into a directory
		sha, ok := missing[file]
		if !ok || h.Typeflag != tar.TypeReg || h.Size > mirrorsd.MaxSize {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("GitHub's answer is not a complete archive: %w", err)
		}
		l.objects.keep(sha, text)
	}
}
