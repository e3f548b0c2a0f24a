package main

import (
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve serves a directory by HTTP until the script ends, and puts its URL into a variable: serve VARIABLE DIRECTORY
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve VARIABLE DIRECTORY")
	}
	s := httptest.NewServer(http.FileServerFS(os.DirFS(ts.MkAbs(args[1]))))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}
