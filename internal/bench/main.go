// Command bench measures mirrorform on lab hosts in comparison with plain ssh, apt-get over ssh and
// Ansible, and writes the results as a documentation page. It runs as root on a Debian-like machine
// with ssh and ansible-core:
//
//	bench -mirrorform bin/mirrorform -out docs/benchmarks.md
//
// Programs that are compared run in turn in the same rounds (A B C A B C …), so that other load on
// the machine affects all of them. The results are medians. A run with an unexpected outcome (a
// plan with changes, an unreachable host) is an error. On an interrupt, bench ends the lab and
// writes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mirrorform/mirrorform/internal/bench/simulate"
	"github.com/mirrorform/mirrorform/internal/lab"
)

// options are the command line options.
type options struct {
	mirrorform string
	helpers    string
	out        string
	hosts      int
	rounds     int
	fresh      int
	only       string

	scaleRounds int
	scaleHosts  int
	scaleOther  int
}

// parts are the parts of the benchmark, in order.
var parts = []string{"program", "converge", "noop", "latency", "scale"}

func main() {
	var o options
	flag.StringVar(&o.mirrorform, "mirrorform", "bin/mirrorform", "`program` to measure, built by make build")
	flag.StringVar(&o.helpers, "helpers", "internal/helper/bin", "`directory` of the compressed helpers in the program")
	flag.StringVar(&o.out, "out", "", "write the page to `file` (default: standard output)")
	flag.IntVar(&o.hosts, "hosts", 10, "number of lab hosts")
	flag.IntVar(&o.rounds, "rounds", 8, "number of rounds of fast measurements; Ansible runs in every fourth round")
	flag.IntVar(&o.fresh, "fresh", 3, "number of rounds with fresh hosts")
	flag.IntVar(&o.scaleRounds, "scale-rounds", 3, "number of rounds for each number of simulated hosts")
	flag.IntVar(&o.scaleHosts, "scale-hosts", 5000, "largest number of simulated hosts")
	flag.IntVar(&o.scaleOther, "scale-ansible", 10, "largest number of simulated hosts for Ansible; 0 skips Ansible")
	flag.StringVar(&o.only, "only", strings.Join(parts, ","),
		"comma-separated `parts` to measure; -out requires all parts, or only scale, which replaces that part of the page")
	simulating := flag.Bool("simulate", false,
		"simulate hosts in this process, for the part scale; see package simulate")
	flag.Parse()
	if *simulating {
		if err := simulate.Run(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.New("interrupted")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	only := strings.Split(o.only, ",")
	for _, part := range only {
		if !slices.Contains(parts, part) {
			return fmt.Errorf("-only: unknown part %q; the parts are %s", part, strings.Join(parts, ", "))
		}
	}
	if o.out != "" && len(only) < len(parts) && o.only != "scale" {
		return errors.New("-out requires all parts, or only scale; omit -only, or omit -out to print the results")
	}
	if o.hosts < 1 || o.rounds < 1 || o.fresh < 1 {
		return errors.New("-hosts, -rounds and -fresh must be greater than zero")
	}
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	return nil
}

func (o *options) run(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	b := &bench{options: o}
	if b.program, err = filepath.Abs(o.mirrorform); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "mirrorform-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.report, err = newReport(ctx, b); err != nil {
		return err
	}
	if err := b.measure(ctx); err != nil {
		return err
	}
	text, err := b.page()
	if err != nil {
		return err
	}
	if o.out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	if err := os.WriteFile(o.out, text, 0o644); err != nil {
		return err
	}
	progress("wrote %s", o.out)
	goals := b.report.Goals
	if b.report.Scale != nil {
		goals = append(goals, b.report.Scale.Goals...)
	}
	for _, g := range goals {
		progress("%s: %s, target %s: %s", g.What, g.Measured, g.Target, g.Verdict())
	}
	return nil
}

// page returns the page to write.
func (b *bench) page() ([]byte, error) {
	if b.only != "scale" {
		return b.report.render()
	}
	part, err := b.report.renderScale()
	if err != nil || b.out == "" {
		return part, err
	}
	page, err := os.ReadFile(b.out)
	if err != nil {
		return nil, err
	}
	return replaceScale(page, part)
}

// bench is one run of the benchmark.
type bench struct {
	*options
	program string // absolute path of mirrorform
	dir     string // temporary directory for configurations
	report  *report

	lab     *lab.Lab
	mirrors []*lab.Host // converged by mirrorform
	managed []*lab.Host // converged by Ansible
	ansible *ansible    // for managed
}

// measure measures the selected parts.
func (b *bench) measure(ctx context.Context) (err error) {
	if b.selected("program") {
		if err := b.measureProgram(ctx); err != nil {
			return fmt.Errorf("measuring the program: %w", err)
		}
	}
	if b.selected("scale") {
		if err := b.measureScale(ctx); err != nil {
			return fmt.Errorf("measuring simulated hosts: %w", err)
		}
	}
	if !slices.ContainsFunc([]string{"converge", "noop", "latency"}, b.selected) {
		return nil
	}
	if b.lab, err = lab.Open(ctx, lab.Options{Name: fmt.Sprintf("bench-%d", os.Getpid()),
		Log: logWriter{}}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.lab.Down(ctx)) }()
	// This part always runs, since the other parts use the hosts of its last round.
	if err := b.measureConverge(ctx); err != nil {
		return fmt.Errorf("measuring a first converge: %w", err)
	}
	if b.selected("noop") {
		if err := b.measureNoop(ctx); err != nil {
			return fmt.Errorf("measuring a plan without changes: %w", err)
		}
	}
	if b.selected("latency") {
		if err := b.measureLatency(ctx); err != nil {
			return fmt.Errorf("measuring with latency: %w", err)
		}
	}
	return nil
}

func (b *bench) selected(part string) bool { return slices.Contains(strings.Split(b.only, ","), part) }

// progress prints a progress line to standard error.
func progress(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// logWriter prints the lab's progress, except the lines about single hosts.
type logWriter struct{}

// Write implements io.Writer.
func (logWriter) Write(p []byte) (int, error) {
	if !strings.Contains(string(p), " is up at ") {
		return os.Stderr.Write(p)
	}
	return len(p), nil
}
