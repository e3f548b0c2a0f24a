//go:build linux || freebsd

package ssh

import "syscall"

// endsWithUs returns the attributes of a child that gets SIGTERM when this process ends.
func endsWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
