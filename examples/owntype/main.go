// Command owntype is mirrorform with a resource type of its own, timezone: a module beside
// mirrorform's, as yours would be. Build it and use it as you would use mirrorform.
package main

import (
	"os"

	"github.com/mirrorform/mirrorform/cmd"
	"github.com/mirrorform/mirrorform/engine"
)

func main() {
	os.Exit(cmd.Main(func(r *engine.Registry) { engine.Register(r, "timezone", timezoneType{}) }))
}
