package lang

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// ReadFiles parses all configuration files in the directory. The result has no bodies of files with
// errors.
func (e *Evaluator) ReadFiles() ([]*hclsyntax.Body, hcl.Diagnostics) {
	names, err := configFiles(e.Reader.Dir, ".hcl")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, hcl.Diagnostics{ErrorNowhere("Directory not found", "The directory %s does not exist.", e.Reader.Dir)}
	case err != nil:
		return nil, hcl.Diagnostics{ErrorNowhere("Directory cannot be read", "%s", err)}
	case len(names) == 0:
		return nil, hcl.Diagnostics{ErrorNowhere("No configuration files",
			"The directory %s has no *.hcl files. Create one with `mirrorform init`.", e.Reader.Dir)}
	}
	var bodies []*hclsyntax.Body
	diags := unreadFiles(e.Reader.Dir)
	for _, name := range names {
		src, err := e.Reader.Read(name, MaxSource)
		if err != nil {
			diags = append(diags, ErrorNowhere("File cannot be read", "%s", err))
			continue
		}
		e.Sources.Set(name, src)
		body, fileDiags := parseConfig(src, name)
		fileDiags = append(fileDiags, e.carriageReturns(src, name)...)
		diags = append(diags, fileDiags...)
		if !fileDiags.HasErrors() {
			bodies = append(bodies, body)
		}
	}
	return bodies, diags
}

// configFiles returns the files of a directory with that suffix, sorted, without hidden files and
// editors' backup files.
func configFiles(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, suffix) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.IsDir() {
			continue
		}
		files = append(files, filepath.Join(dir, name))
	}
	return files, nil
}

// unreadFiles warns about *.hcl.json and *.hclvars.json files. Terraform reads files like these;
// mirrorform does not.
func unreadFiles(dir string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, suffix := range []string{".hcl", varsSuffix} {
		names, err := configFiles(dir, suffix+".json")
		if err != nil {
			continue // ReadFiles has the same error
		}
		for _, name := range names {
			d := ErrorNowhere("JSON file ignored",
				"The file %s is in JSON. Only *%s files in HCL's native syntax are read.", name, suffix)
			d.Severity = hcl.DiagWarning
			diags = append(diags, d)
		}
	}
	return diags
}
