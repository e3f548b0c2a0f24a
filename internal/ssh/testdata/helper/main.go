// Command helper is a stand-in for the host helper in this package's tests: it greets, then repeats each message that
// it receives. Its greeting can be made wrong when it is linked: -X main.protocol=9.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// protocol is the version that the greeting says.
var protocol = "1"

func main() {
	if len(os.Args) != 3 || os.Args[1] != "--nonce" {
		fmt.Println("test helper")
		return
	}
	if err := serve(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

func serve(nonce string) error {
	if _, err := io.WriteString(os.Stdout, wire.Preamble); err != nil {
		return err
	}
	m := &wire.Message{Hello: &wire.Hello{Nonce: nonce}}
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	m.Hello.SHA256 = hex.EncodeToString(h.Sum(nil))
	m.Hello.Facts = &wire.Facts{Arch: runtime.GOARCH, UID: os.Getuid()}
	if m.Hello.Protocol, err = strconv.Atoi(protocol); err != nil {
		return err
	}
	for {
		if err := wire.Write(os.Stdout, m); err != nil {
			return err
		}
		if m, err = wire.Read(os.Stdin); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}
