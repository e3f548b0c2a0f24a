// Command mirrorform-agent is the helper that mirrorform runs on a host for the length of a
// connection. You do not start it by hand: it speaks the protocol of package wire on standard input
// and output. With --recover it rolls back or completes a transaction that was open when the host
// stopped, which the unit mirrorform-recover.service does at boot.
//
// Called as mirrorform-sync it runs a mirror's sync: see package syncjob.
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
	// A lost terminal or a closed pipe must not end an operation half-way: only the end of the input
	// ends the helper. The signals are caught rather than ignored, since children would inherit that.
	lost := make(chan os.Signal, 1)
	signal.Notify(lost, syscall.SIGHUP, syscall.SIGPIPE)
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT) // for the life of the process
	syscall.Umask(0o022)                                                                  // for the programs it runs; the helper sets its own modes
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
