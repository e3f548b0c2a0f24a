// Command owntype is mirrorform with one more resource type, timezone. It is a separate module, as
// yours would be. Build it, and use it like mirrorform.
package main

import (
	"os"

	"github.com/mirrorform/mirrorform/cmd"
	"github.com/mirrorform/mirrorform/engine"
)

func main() {
	os.Exit(cmd.Main(func(r *engine.Registry) { engine.Register(r, "timezone", timezoneType{}) }))
}
