// Command build makes the data of package gazetteer from dumps of GeoNames:
//
//	go run ./internal/gazetteer/build cities1000.txt admin1CodesASCII.txt admin2Codes.txt
//
// It writes internal/gazetteer/places.gz. Files are known by their names; more than one file of
// cities may be given. Equal files give equal bytes.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/mirrorform/mirrorform/internal/placename"
)

const (
	town  = 5000   // inhabitants of a place whose own names are in the data
	known = 15000  // and of one whose other names are, if they are like its own, …
	city  = 100000 // … and of one all of whose other names are
)

// alike is the distance up to which another name is like a place's own.
const alike = 2

// names are the names of GeoNames with the countries of their places.
type names struct {
	countries map[string]map[string]bool
	kept      map[string]bool // those in the data
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string) error {
	if len(files) == 0 {
		return fmt.Errorf("give the files of GeoNames: cities1000.txt, admin1CodesASCII.txt, admin2Codes.txt")
	}
	n := &names{map[string]map[string]bool{}, map[string]bool{}}
	for _, name := range files {
		row := n.place
		switch base := filepath.Base(name); {
		case strings.HasPrefix(base, "admin1"):
			row = func(columns []string) error { return n.division(columns, true) }
		case strings.HasPrefix(base, "admin2"):
			row = func(columns []string) error { return n.division(columns, false) }
		}
		if err := rows(name, row); err != nil {
			return err
		}
	}
	data, err := n.pack()
	if err != nil {
		return err
	}
	return os.WriteFile("internal/gazetteer/places.gz", data, 0o644)
}

// rows calls do for the columns of each line of a file.
func rows(name string, do func(columns []string) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for i := 1; lines.Scan(); i++ {
		if err := do(strings.Split(lines.Text(), "\t")); err != nil {
			return fmt.Errorf("%s, line %d: %w", name, i, err)
		}
	}
	return lines.Err()
}

// add adds a name of a place, if it is in Latin letters.
func (n *names) add(name, country string, keep bool) {
	plain := placename.Plain(name)
	if plain == "" || strings.ContainsFunc(plain, func(r rune) bool { return r > '~' }) {
		return
	}
	if n.countries[plain] == nil {
		n.countries[plain] = map[string]bool{}
	}
	n.countries[plain][country] = true
	n.kept[plain] = n.kept[plain] || keep
}

// place adds a row of cities1000.txt. The number of inhabitants may be unknown.
func (n *names) place(columns []string) error {
	if len(columns) < 15 {
		return fmt.Errorf("it has %d columns", len(columns))
	}
	people, _ := strconv.Atoi(columns[14])
	country, own := columns[8], columns[1:3]
	for _, name := range own {
		n.add(name, country, people >= town)
	}
	for _, name := range strings.Split(columns[3], ",") {
		keep := people >= city && len(name) >= 4
		for _, o := range own {
			keep = keep || people >= known && len(o) > 4 &&
				levenshtein.Distance(placename.Plain(name), placename.Plain(o), nil) <= alike
		}
		n.add(name, country, keep)
	}
	return nil
}

// division adds a row of admin1CodesASCII.txt or admin2Codes.txt.
func (n *names) division(columns []string, keep bool) error {
	if len(columns) < 3 || len(columns[0]) < 2 {
		return fmt.Errorf("it has %d columns", len(columns))
	}
	code, country := columns[0], columns[0][:2]
	if code == "TW.04" {
		return nil // Taiwan is listed as a province of itself
	}
	for _, name := range columns[1:3] {
		n.add(name, country, keep)
	}
	return nil
}

// pack writes the data as package gazetteer reads them.
func (n *names) pack() ([]byte, error) {
	var kept []string
	for name, keep := range n.kept {
		if keep {
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	last := ""
	for _, name := range kept {
		shared := 0
		for shared < min(len(name), len(last), '~'-'0') && name[shared] == last[shared] {
			shared++
		}
		var codes []string
		for c := range n.countries[name] {
			codes = append(codes, c)
		}
		slices.Sort(codes)
		if _, err := fmt.Fprintf(z, "%c%s\t%s\n", '0'+shared, name[shared:], strings.Join(codes, "")); err != nil {
			return nil, err
		}
		last = name
	}
	err = z.Close()
	return out.Bytes(), err
}
