// Package faults holds the fault suite: tests that break real hosts, connections and the program itself at every moment that can be named, and
// check after each break that nothing of what mirrorform guarantees was lost. Each row of docs/guarantees.md is one test here.
//
// The guarantee is the same after every fault (the function oracle): applying again converges, the plan after that is empty, every managed file is wholly
// old or wholly new, nothing temporary is left on the host, its lock is free, and nothing was reported as done that was not.
//
// The moments are not written down anywhere. A helper built with the tag "faults" numbers every change that it makes to a host, each write, sync and rename and each
// program that it starts; one run lists them, and the tests then break something at each. A new step is thus broken too, without anyone adding it.
//
// By default a representative part of the faults is injected, as part of `make test`. With MIRRORFORM_FAULTS=all (`make test-faults`) it is all of them.
// With MIRRORFORM_GUARANTEES=FILE, a run in which everything held writes its table between the marker comments of that file.
package faults
