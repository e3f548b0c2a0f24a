package lab

import (
	"fmt"
	"strings"
)

// OS is the operating system of a host. "" is the machine's own release.
type OS string

// The operating systems. A host of EL is AlmaLinux in what programs see of a distribution, made of
// Debian's programs: see docs/lab.md.
const (
	Debian11 OS = "debian11"
	Debian12 OS = "debian12"
	Debian13 OS = "debian13"
	EL8      OS = "el8"
	EL9      OS = "el9"
	EL10     OS = "el10"
)

// Family is a family of distributions.
type Family string

// The families.
const (
	Debian Family = "debian"
	EL     Family = "el"
)

// Family returns the family of the operating system.
func (o OS) Family() Family {
	if row := o.row(); row != nil && row.el != nil {
		return EL
	}
	return Debian
}

// OSes returns all operating systems.
func OSes() []OS {
	list := make([]OS, len(osTable))
	for i, row := range osTable {
		list[i] = row.os
	}
	return list
}

// osRow is what the trees of an operating system are made of.
type osRow struct {
	os       OS
	codename string   // of the Debian release
	include  []string // packages for debootstrap that not all releases have
	el       *enterprise
}

// enterprise is what an EL host has beyond its Debian release.
type enterprise struct {
	Major, Version, Name string // of AlmaLinux
	// Newer are packages of newer Debian releases, by their code names.
	Newer map[string][]string
}

// osTable has a row for each operating system. EL hosts are made of the Debian release whose dnf,
// rpm and systemd are nearest to theirs. Debian has cronie from 13 on. From 13 on the smallest
// installation has no e2fsprogs, which every other one of Debian and EL has.
var osTable = []osRow{
	{os: Debian11, codename: "bullseye", include: []string{"doas"}},
	{os: Debian12, codename: "bookworm", include: []string{"opendoas"}},
	{os: Debian13, codename: "trixie", include: []string{"opendoas", "sudo-rs", "e2fsprogs"}},
	{os: EL8, codename: "bullseye", el: &enterprise{
		Major: "8", Version: "8.10", Name: "Cerulean Leopard",
		Newer: map[string][]string{"bookworm": {"nginx", "libc6", "libssl3"}, "trixie": {"cronie", "libc6"}},
	}},
	{os: EL9, codename: "bookworm", el: &enterprise{
		Major: "9", Version: "9.6", Name: "Sage Margay",
		Newer: map[string][]string{"trixie": {"cronie", "nginx", "libc6", "libssl3t64"}},
	}},
	{os: EL10, codename: "trixie", el: &enterprise{Major: "10", Version: "10.0", Name: "Purple Lion"}},
}

func (o OS) row() *osRow {
	for i := range osTable {
		if osTable[i].os == o {
			return &osTable[i]
		}
	}
	return nil
}

// resolveOS returns the operating system that o stands for on a machine with a Debian-like release:
// "" is this release, if it has a name here.
func resolveOS(o OS, codename string) (OS, error) {
	if o.row() != nil {
		return o, nil
	}
	if o != "" {
		names := make([]string, len(osTable))
		for i, row := range osTable {
			names[i] = string(row.os)
		}
		return "", fmt.Errorf("unknown operating system %q: use one of %s", o, strings.Join(names, ", "))
	}
	for _, row := range osTable {
		if row.codename == codename && row.el == nil {
			return row.os, nil
		}
	}
	return "", nil
}

// debianRow returns the row of the Debian release.
func debianRow(codename string) osRow {
	for _, row := range osTable {
		if row.codename == codename && row.el == nil {
			return row
		}
	}
	return osRow{codename: codename}
}
