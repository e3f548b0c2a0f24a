package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/rogpeppe/go-internal/testscript"
)

// caKey is the key of a script's *lab.CA.
type caKey struct{}

// acme starts a CA that knows a name as a host, which trusts it: acme start HOST NAME VALIDITY. Its
// directory is $ACME, and its root certificate the file root.pem. acme down and acme up stop and
// start it.
func acme(ts *testscript.TestScript, neg bool, args []string) {
	ctx := context.Background()
	ca, _ := ts.Value(caKey{}).(**lab.CA)
	switch {
	case !neg && len(args) == 4 && args[0] == "start":
		validity, err := time.ParseDuration(args[3])
		ts.Check(err)
		h := hostOf(ts, args[1])
		*ca, err = hostsOf(ts).lab.StartCA(ctx, lab.CAOptions{Validity: validity})
		ts.Check(err)
		ts.Defer(func() { _ = (*ca).Close(context.Background()) })
		ts.Check(h.TrustCA(ctx, *ca))
		ts.Check((*ca).AddHost(ctx, args[2], h.Address, h.Address6))
		ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("."), "root.pem"), (*ca).Root, 0o600))
		ts.Setenv("ACME", (*ca).DirectoryURL)
	case !neg && len(args) == 1 && args[0] == "down":
		ts.Check((*ca).Stop())
	case !neg && len(args) == 1 && args[0] == "up":
		ts.Check((*ca).Start())
	default:
		ts.Fatalf("usage: acme start HOST NAME VALIDITY | acme down | acme up")
	}
}
