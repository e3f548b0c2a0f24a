package run

import (
	"context"
	"io"

	"github.com/mirrorform/mirrorform/internal/agent"
)

// localHelper runs the helper in this process, with its state in dir.
func localHelper(ctx context.Context, version, dir string) (io.ReadWriteCloser, error) {
	return agent.Pipe(ctx, agent.Options{Version: version, StateDir: dir}), nil
}
