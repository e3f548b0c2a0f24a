package lab

import (
	"context"
	"fmt"
	"os"
	"time"
)

// daemon starts a program of the lab on the machine, in the control group of a member, and waits
// until answers returns true. Its output goes to the file log. It gets the variables env besides
// the usual ones, and ends with the lab.
func (l *Lab) daemon(ctx context.Context, member, log string, env []string, answers func() bool, argv ...string) (process, error) {
	group, err := makeCgroup(l.Name, member)
	if err != nil {
		return process{}, err
	}
	output, err := os.Create(log)
	if err != nil {
		return process{}, err
	}
	defer func() { _ = output.Close() }()
	cmd := command(context.WithoutCancel(ctx), inCgroup(group, argv...)...)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = output, output
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	started, err := findProcess(cmd.Process.Pid)
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	if err == nil {
		err = poll(ctx, 20*time.Second, func() (bool, error) {
			select {
			case <-ended:
				return false, fmt.Errorf("%s has ended", argv[0])
			default:
			}
			return answers(), nil
		})
	}
	if err != nil {
		said, _ := os.ReadFile(log)
		return process{}, fmt.Errorf("%w: %s", err, lastLines(string(said), 10))
	}
	return started, nil
}
