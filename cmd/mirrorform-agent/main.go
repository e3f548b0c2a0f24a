// Command mirrorform-agent is the helper that mirrorform runs on a host for as long as a connection lasts. It is not meant to
// be started by hand: it speaks the protocol of package wire on standard input and output. With --recover it ends a transaction that was open when the host
// stopped, which the unit mirrorform-recover.service does at the start.
//
// Called as mirrorform-sync it runs a mirror's sync, see package syncjob.
package main

import (
	"context"
	"os"
	"os/signal"
	"path"
	"syscall"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/agent"
	"github.com/mirrorform/mirrorform/internal/syncjob"
)

// version is set by the linker.
var version = "dev"

func main() {
	if path.Base(os.Args[0]) == wire.SyncProgram {
		os.Exit(syncjob.Main(os.Args[1:]))
	}
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		_, err := os.Stdout.WriteString("mirrorform-agent " + version + "\n")
		exit(err)
	}
	nonce, recovery := "", false
	switch {
	case len(os.Args) == 3 && os.Args[1] == "--nonce":
		nonce = os.Args[2]
	case len(os.Args) == 2 && os.Args[1] == "--recover":
		recovery = true
	case len(os.Args) > 1:
		_, _ = os.Stderr.WriteString("usage: mirrorform-agent [--version | --recover | --nonce NONCE]\n")
		os.Exit(2)
	}
	// A lost terminal or a closed pipe must not end an operation half-way: the input's end is what counts. They are
	// caught and not ignored, since children would inherit that.
	lost := make(chan os.Signal, 1)
	signal.Notify(lost, syscall.SIGHUP, syscall.SIGPIPE)
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT) // for as long as the process runs
	syscall.Umask(0o022)                                                                  // for the programs it runs; its own files get their modes one by one
	if recovery {
		exit(agent.Recover(os.Stdout, agent.Options{Version: version}))
	}
	exit(agent.Serve(ctx, os.Stdin, os.Stdout, agent.Options{Version: version, Nonce: nonce}))
}

func exit(err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString("mirrorform-agent: " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}
