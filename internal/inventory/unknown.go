package inventory

import (
	"archive/tar"
	"fmt"
	"strconv"
	"strings"
)

// unknown says what of an image its package databases do not tell, a sentence each. Programs are named only of an image
// without packages: of others they are the packages'.
func unknown(t *tree, db histories) []string {
	said := append(otherManagers(t), db.lost(t)...)
	if len(db.packages()) > 0 {
		return said
	}
	programs := opaquePrograms(t)
	if len(programs) == 0 {
		return said
	}
	return append(said, fmt.Sprintf("%s; %s: what is in %s is not known from packages", db.absence(), describe(programs), plural(len(programs), "it", "them")))
}

// absence says why there are no packages.
func (all histories) absence() string {
	for _, h := range all {
		if h.state != "" {
			return "its package database is empty"
		}
	}
	return "no package database"
}

// place is a file or directory by which a package manager is known.
type place struct{ path, manager string }

// otherManagers says which package managers an image has whose databases are not read.
func otherManagers(t *tree) []string {
	var said []string
	for _, p := range []place{
		{"/gnu/store", "Guix"},
		{"/home/linuxbrew/.linuxbrew/Cellar", "Homebrew"},
		{"/nix/store", "Nix"},
		{"/opt/conda/conda-meta", "conda"},
		{"/usr/lib/opkg", "opkg"},
		{"/usr/share/clear/bundles", "swupd"},
		{"/var/db/pkg", "Portage"},
		{"/var/db/xbps", "XBPS"},
		{"/var/lib/eopkg", "eopkg"},
		{"/var/lib/opkg", "opkg"},
		{"/var/lib/pacman/local", "pacman"},
	} {
		if t.holds(p.path) {
			said = append(said, fmt.Sprintf("%s is %s's, whose packages are not read: they are not known", p.path, p.manager))
		}
	}
	return said
}

// lost says which of the databases that are read have been there once: their managers have left other files.
func (all histories) lost(t *tree) []string {
	var said []string
	for _, h := range all {
		if h.state != "" {
			continue
		}
		for _, p := range leftovers(h.family) {
			if t.holds(p.path) {
				said = append(said, fmt.Sprintf("%s is %s's, but no database of its packages is there: they are not known", p.path, p.manager))
				break
			}
		}
	}
	return said
}

func leftovers(family string) []place {
	switch family {
	case Deb:
		return []place{{"/var/lib/dpkg/info", "dpkg"}}
	case APK:
		return []place{{"/lib/apk/db", "apk"}, {"/usr/lib/apk/db", "apk"}, {"/etc/apk/world", "apk"}}
	case RPM:
		var all []place
		for _, dir := range rpmDirs() {
			all = append(all, place{dir, "rpm"})
		}
		return all
	}
	return nil
}

// holds says that there is a file, or a directory with something in it.
func (t *tree) holds(p string) bool {
	n, _ := t.lookup(p, true)
	return n != nil && (n.typ == tar.TypeReg || len(n.children) > 0)
}

const named = 3 // programs that a sentence names

// describe names programs: "2 programs (/app, built with Go 1.22.1 of unknown modules, and /bin/sh)".
func describe(programs []*opaqueProgram) string {
	var words []string
	for _, p := range programs[:min(named, len(programs))] {
		words = append(words, p.String())
	}
	switch more := len(programs) - len(words); {
	case more > 0:
		words = append(words, fmt.Sprintf("%d more", more))
	case len(words) == 1:
		return "1 program (" + words[0] + ")"
	}
	last := len(words) - 1
	return fmt.Sprintf("%d programs (%s and %s)", len(programs), strings.Join(words[:last], ", "), words[last])
}

// String is a program as a sentence names it.
func (p *opaqueProgram) String() string {
	s := shown(p.names[0])
	if n := len(p.names) - 1; n > 0 {
		s += fmt.Sprintf(" under %d names", n+1)
	}
	if p.golang != "" {
		s += ", built with " + p.golang + " of unknown modules"
	}
	return s
}

// shown is a path of an image, which may be anything, in a sentence.
func shown(path string) string {
	const most = 100
	odd := func(r rune) bool { return r == ' ' || r == ',' || !strconv.IsPrint(r) }
	if len(path) > most || strings.ContainsFunc(path, odd) {
		return fmt.Sprintf("%.*q", most, path)
	}
	return path
}
