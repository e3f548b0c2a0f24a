package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mirrorform/mirrorform/internal/run"
)

// replaceFile replaces the content of an existing file atomically. It keeps the mode, and follows a
// link.
func replaceFile(name string, content []byte) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	return run.WriteAtomically(target, content, info.Mode().Perm())
}

// writeNew writes a new file. The error is fs.ErrExist if there is a file of that name.
func writeNew(name string, content []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), os.Remove(name))
	}
	return nil
}
