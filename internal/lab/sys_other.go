//go:build !linux

package lab

import (
	"os"
	"os/exec"
)

// On other systems than Linux, Check fails before any of these functions is called.

func overlayMount(_, _ string) error        { return ErrUnavailable }
func unmount(_ string, _ bool) error        { return ErrUnavailable }
func killPid(_ int) error                   { return ErrUnavailable }
func askReboot(_ int) error                 { return ErrUnavailable }
func detach(_ *exec.Cmd)                    {}
func endWithParent(_ *exec.Cmd)             {}
func tryFlock(_ *os.File) (bool, error)     { return false, ErrUnavailable }
func attachLoop(_ string) (string, error)   { return "", ErrUnavailable }
func loopsBelow(_ string) ([]string, error) { return nil, ErrUnavailable }
func detachLoop(_ string) error             { return ErrUnavailable }

func openBeneath(_, _ string, _ int, _ os.FileMode) (*os.File, error) {
	return nil, ErrUnavailable
}
