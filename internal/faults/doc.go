// Package faults is the fault suite. Its tests break real hosts, connections and the program itself
// at every step, and check after each fault that all guarantees of mirrorform hold. Each row of the
// table in docs/guarantees.md is the result of a test.
//
// The function oracle checks the same guarantees after every fault: the next apply converges, the
// plan after that is empty, every managed file is entirely old or entirely new, no temporary files
// are left on the host, its lock is free, and mirrorform did not report anything as done that was
// not.
//
// There is no list of steps. A helper built with the tag "faults" numbers every change that it
// makes to a host: each write, sync and rename, and each program that it starts. One run lists
// these steps, and the tests then inject a fault at each of them. New steps are therefore tested
// automatically.
//
// By default, and in `make test`, the suite injects a representative part of the faults. With
// MIRRORFORM_FAULTS=all (`make test-faults`) it injects all of them. With
// MIRRORFORM_GUARANTEES=FILE, a run without failures writes its table between the marker comments
// of that file. With MIRRORFORM_FAULTS_CONNECTION=openssh, ssh reaches the hosts.
package faults
