package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sample is the measurement of one run.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system time of the controller's processes
	peak int64         // largest memory of one process in bytes; for Ansible, of its main process
}

// contender is a program that is compared with others.
type contender struct {
	name   string
	every  int                             // runs only in every nth round; 0 means every round
	before func(ctx context.Context) error // prepares each run, not measured; may be nil
	run    func(ctx context.Context) (sample, error)
	after  func(ctx context.Context) error // cleans up after each run, not measured; may be nil
}

// series has the runs of one contender.
type series struct {
	Name    string
	samples []sample
}

// interleave runs the contenders in turn in each round. Before the first round each runs once
// without being counted, except contenders that do not run in every round.
func interleave(ctx context.Context, rounds int, contenders ...contender) ([]*series, error) {
	all := make([]*series, len(contenders))
	for i, c := range contenders {
		all[i] = &series{Name: c.name}
	}
	for round := range rounds + 1 {
		for i, c := range contenders {
			if every := max(c.every, 1); (every > 1 && round == 0) || (round > 0 && (round-1)%every != 0) {
				continue
			}
			s, err := c.once(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round > 0 {
				all[i].samples = append(all[i].samples, s)
			}
		}
	}
	for _, s := range all {
		progress("%s: %s (%d runs)", s.Name, seconds(s.Median()), len(s.samples))
	}
	return all, nil
}

// once runs the contender, with before and after.
func (c *contender) once(ctx context.Context) (sample, error) {
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return sample{}, err
		}
	}
	s, err := c.run(ctx)
	if err == nil && c.after != nil {
		err = c.after(ctx)
	}
	return s, err
}

// median returns the median of durations, or 0 for an empty list.
func median(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func (s *series) pick(f func(sample) time.Duration) []time.Duration {
	list := make([]time.Duration, len(s.samples))
	for i, one := range s.samples {
		list[i] = f(one)
	}
	return list
}

func (s *series) walls() []time.Duration {
	return s.pick(func(s sample) time.Duration { return s.wall })
}

// Median returns the median wall time.
func (s *series) Median() time.Duration { return median(s.walls()) }

// Fastest returns the shortest wall time.
func (s *series) Fastest() time.Duration { return slices.Min(s.walls()) }

// Slowest returns the longest wall time.
func (s *series) Slowest() time.Duration { return slices.Max(s.walls()) }

// Runs returns the number of counted runs.
func (s *series) Runs() int { return len(s.samples) }

// CPU returns the median processor time of the controller.
func (s *series) CPU() time.Duration {
	return median(s.pick(func(s sample) time.Duration { return s.cpu }))
}

// Peak returns the largest memory of a process in any run, in bytes.
func (s *series) Peak() int64 {
	var peak int64
	for _, one := range s.samples {
		peak = max(peak, one.peak)
	}
	return peak
}

// ratio returns the median of s divided by the median of other.
func (s *series) ratio(other *series) float64 { return float64(s.Median()) / float64(other.Median()) }

// result is the result of one run of a program.
type result struct {
	sample
	output string // the end of standard output and standard error
}

// ending keeps the last bytes written to it.
type ending []byte

// Write implements io.Writer.
func (e *ending) Write(b []byte) (int, error) {
	const kept = 256 << 10
	*e = append(*e, b...)
	if cut := len(*e) - kept; cut > kept {
		*e = append((*e)[:0], (*e)[cut:]...)
	}
	return len(b), nil
}

// watchMemory polls the peak memory of a process in bytes (VmHWM, proc_pid_status(5)) until it
// ends. getrusage(2) would include the memory of this process at the time of the fork.
func watchMemory(pid int, ended <-chan struct{}) int64 {
	const often = 5 * time.Millisecond
	file := fmt.Sprintf("/proc/%d/status", pid)
	tick := time.NewTicker(often)
	defer tick.Stop()
	var peak int64
	for {
		var kilobytes int64
		if _, err := fmt.Sscanf(field(file, "VmHWM"), "%d kB", &kilobytes); err == nil {
			peak = max(peak, kilobytes<<10)
		}
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
	}
}

// execute starts all command lines in parallel and waits for all of them. They have a minimal
// environment with dir as the home directory. Each has its own process group, which ends with ctx.
func execute(ctx context.Context, dir string, env []string, argvs ...[]string) ([]result, error) {
	cmds := make([]*exec.Cmd, len(argvs))
	outputs := make([]ending, len(argvs))
	for i, argv := range argvs {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir = dir
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8"}, env...)
		cmd.Stdout, cmd.Stderr = &outputs[i], &outputs[i]
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = 5 * time.Second
		cmds[i] = cmd
	}
	errs, ends, peaks := make([]error, len(cmds)), make([]time.Duration, len(cmds)), make([]int64, len(cmds))
	var wait sync.WaitGroup
	begin := time.Now()
	for i, cmd := range cmds {
		if errs[i] = cmd.Start(); errs[i] != nil {
			continue
		}
		ended, watched := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(watched)
			peaks[i] = watchMemory(cmd.Process.Pid, ended)
		}()
		wait.Go(func() {
			errs[i] = cmd.Wait()
			ends[i] = time.Since(begin)
			close(ended)
			<-watched
		})
	}
	wait.Wait()
	results := make([]result, len(cmds))
	for i, cmd := range cmds {
		results[i].output = string(outputs[i])
		results[i].wall = ends[i]
		if cmd.ProcessState != nil {
			results[i].cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			results[i].peak = peaks[i]
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s: %w\n%s", strings.Join(argvs[i], " "), errs[i], lastLines(results[i].output, 20))
		}
	}
	return results, errors.Join(errs...)
}

// together combines the samples of parallel programs: the longest wall time, and the sum of the
// processor times.
func together(results []result) sample {
	var all sample
	for _, r := range results {
		all.wall = max(all.wall, r.wall)
		all.cpu += r.cpu
		all.peak = max(all.peak, r.peak)
	}
	return all
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
