package faults

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// rows is the last row of the table of faults.
const rows = 50

// injection is one line of the table: the result of a test for a row.
type injection struct {
	row    int
	fault  string
	count  int
	held   string
	test   string
	failed bool
}

var recorded struct {
	sync.Mutex
	list []injection
}

// record adds a line to the table: a test injected a fault of a row this many times, and this held
// each time. Several calls for one row add several lines. If the test fails, before or after the
// call, the line reports the failure instead.
func record(t testing.TB, row int, fault string, injections int, held string) {
	t.Helper()
	if injections < 1 {
		t.Errorf("row %d, %s: nothing was injected", row, fault)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	t.Cleanup(func() {
		recorded.Lock()
		defer recorded.Unlock()
		recorded.list = append(recorded.list, injection{row, fault, injections, held, test, t.Failed()})
	})
}

// TestMain runs the tests in one lab and prints the table.
func TestMain(m *testing.M) {
	// Tests wait for their hosts most of the time. -parallel takes precedence.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	status := labtest.Main(m)
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	list := recorded.list
	slices.SortStableFunc(list, func(a, b injection) int {
		if a.row != b.row {
			return a.row - b.row
		}
		return strings.Compare(a.fault, b.fault)
	})
	printTable(list)
	if file := os.Getenv("MIRRORFORM_GUARANTEES"); file != "" {
		err := errors.New("table not written, since tests failed")
		if status == 0 {
			err = writeGuarantees(file, list)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "faults: %s: %v\n", file, err)
			status = max(status, 1)
		}
	}
	os.Exit(status)
}

// printTable prints a line for each fault, and the total.
func printTable(list []injection) {
	if len(list) == 0 {
		return
	}
	total, failed := 0, 0
	for _, i := range list {
		result := i.held
		if i.failed {
			result = "FAILED: " + i.test
			failed++
		}
		total += i.count
		fmt.Printf("fault %2d  %-48s %6d injected  %s\n", i.row, i.fault, i.count, result)
	}
	fmt.Printf("faults: %d lines, %d injections, %d failed\n", len(list), total, failed)
}

// The table is between these lines of the file.
const (
	tableBegin = "<!-- generated: faults -->"
	tableEnd   = "<!-- end generated -->"
)

// writeGuarantees writes the table into a Markdown file between its markers.
func writeGuarantees(file string, list []injection) error {
	for row := 1; row <= rows; row++ {
		if !slices.ContainsFunc(list, func(i injection) bool { return i.row == row }) {
			return fmt.Errorf("table not written, since row %d was not tested; run all tests of the package", row)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(data, []byte(tableBegin))
	if !ok {
		return fmt.Errorf("line %q not found", tableBegin)
	}
	_, after, ok := bytes.Cut(rest, []byte(tableEnd))
	if !ok {
		return fmt.Errorf("line %q not found after %q", tableEnd, tableBegin)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tableBegin + "\n\n| # | Fault | Injections | What held | Test |\n|---|---|---|---|---|\n")
	total := 0
	for _, i := range list {
		fmt.Fprintf(&b, "| %d | %s | %d | %s | `%s` |\n", i.row, i.fault, i.count, i.held, i.test)
		total += i.count
	}
	fmt.Fprintf(&b, "\n%d injections in all.\n\n", total)
	b.WriteString(tableEnd)
	b.Write(after)
	return os.WriteFile(file, b.Bytes(), 0o644)
}
