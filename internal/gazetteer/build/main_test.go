package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

func TestPack(t *testing.T) {
	t.Parallel()
	n := &names{map[string]map[string]bool{}, map[string]bool{}}
	row := func(name, ascii, others, country, people string) {
		columns := make([]string, 19)
		columns[1], columns[2], columns[3], columns[8], columns[14] = name, ascii, others, country, people
		if err := n.place(columns); err != nil {
			t.Fatal(err)
		}
	}
	row("Zürich", "Zuerich", "Turicum,Zurigo,ZRH,チューリッヒ", "CH", "341730") // all names of four letters or more
	row("Karagandy", "Karagandy", "Karaganda,Qaraghandy", "KZ", "20000")  // those that are alike
	row("Zurigo", "Zurigo", "", "US", "1000")                             // a country for a name in the data
	row("Hamlet", "Hamlet", "", "GB", "1500")                             // too small
	for _, c := range [][]string{{"DE.02", "Bavaria", "Bavaria"}, {"TW.04", "Taiwan", "Taiwan"}} {
		if err := n.division(c, true); err != nil {
			t.Fatal(err)
		}
	}
	data, err := n.pack()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	want := "0bavaria\tDE\n0karaganda\tKZ\n8y\tKZ\n0qaraghandy\tKZ\n0turicum\tCH\n0zuerich\tCH\n2rich\tCH\n4go\tCHUS\n"
	if err != nil || string(got) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if n.place([]string{"1"}) == nil || n.division([]string{"DE"}, true) == nil || run(nil) == nil ||
		run([]string{"no.txt"}) == nil {
		t.Error("an invalid row, or a missing file, is not an error")
	}
}
