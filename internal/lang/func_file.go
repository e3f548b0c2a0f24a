package lang

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions returns the functions that read files or handle paths.
func (r *Reader) fileFunctions() map[string]function.Function {
	of := func(encode func(content []byte) (string, error)) function.Function {
		return textFunction(func(a []string) (string, error) {
			path, err := r.Path(a[0])
			if err != nil {
				return "", err
			}
			content, err := r.Read(path, MaxLocalFile)
			if err != nil {
				return "", err
			}
			return encode(content)
		}, "path")
	}
	plain := func(encode func(content []byte) string) function.Function {
		return of(func(content []byte) (string, error) { return encode(content), nil })
	}
	return map[string]function.Function{
		"abspath":          textFunction(func(a []string) (string, error) { return r.Path(filepath.Clean(a[0])) }, "path"),
		"basename":         textFunction(func(a []string) (string, error) { return filepath.Base(a[0]), nil }, "path"),
		"dirname":          textFunction(func(a []string) (string, error) { return filepath.Dir(a[0]), nil }, "path"),
		"pathexpand":       textFunction(expandHome, "path"),
		"fileset":          textTo(cty.Set(cty.String), r.fileSet, "path", "pattern"),
		"fileexists":       textTo(cty.Bool, r.fileExists, "path"),
		"file":             of(asText),
		"filebase64":       plain(base64.StdEncoding.EncodeToString),
		"filebase64sha256": plain(func(b []byte) string { return digest(sha256.New, base64.StdEncoding.EncodeToString, b) }),
		"filebase64sha512": plain(func(b []byte) string { return digest(sha512.New, base64.StdEncoding.EncodeToString, b) }),
		"filemd5":          plain(func(b []byte) string { return digest(md5.New, hex.EncodeToString, b) }),
		"filesha1":         plain(func(b []byte) string { return digest(sha1.New, hex.EncodeToString, b) }),
		"filesha256":       plain(func(b []byte) string { return digest(sha256.New, hex.EncodeToString, b) }),
		"filesha512":       plain(func(b []byte) string { return digest(sha512.New, hex.EncodeToString, b) }),
	}
}

func asText(content []byte) (string, error) {
	if at := invalidUTF8(content); at >= 0 {
		return "", fmt.Errorf("the file is not UTF-8 text; read binary files with filebase64")
	}
	return string(content), nil
}

func expandHome(a []string) (string, error) {
	if a[0] == "~" || len(a[0]) > 1 && a[0][:2] == "~/" {
		return expandPath(a[0], "")
	}
	return a[0], nil
}

func (r *Reader) fileExists(a []string) (cty.Value, error) {
	path, err := r.Path(a[0])
	if err != nil {
		return cty.NilVal, err
	}
	if err := r.MayRead(path); err != nil {
		return cty.NilVal, err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cty.False, nil
	case err != nil:
		return cty.NilVal, err
	case !info.Mode().IsRegular():
		return cty.NilVal, fmt.Errorf("%s is not a regular file", path)
	}
	return cty.True, nil
}
