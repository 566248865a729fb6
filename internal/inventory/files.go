package inventory

import (
	"archive/tar"
	"cmp"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// filesOf are the files of the merged file system that rules ask about.
func filesOf(l *listing, t *tree, cfg *v1.ConfigFile) []File {
	f := facts{tree: t, found: map[string][]File{}}
	f.modes()
	f.programs(pathOf(cfg))
	f.accounts()
	var all []File
	for _, what := range sortedKeys(f.found) {
		one := f.found[what]
		slices.SortFunc(one, compareFiles)
		one = slices.Compact(one)
		all = append(all, first(l, one, "files of the kind "+what)...)
	}
	slices.SortFunc(all, compareFiles)
	return all
}

func compareFiles(a, b File) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.What, b.What), cmp.Compare(a.Detail, b.Detail))
}

// facts are gathered by what they are.
type facts struct {
	tree  *tree
	found map[string][]File
}

func (f *facts) add(what, at string, layer int, detail string) {
	f.found[what] = append(f.found[what], File{Path: at, What: what, Layer: layer, Detail: detail})
}

const (
	modeSetuid      = 0o4000
	modeSetgid      = 0o2000
	modeSticky      = 0o1000
	modeWorldWrites = 0o002
	modeRuns        = 0o111
)

// modes finds what permissions alone say.
func (f *facts) modes() {
	f.tree.root.each("", func(at string, n *node) {
		regular := n.typ == tar.TypeReg
		if regular && n.mode&modeSetuid != 0 {
			f.add(Setuid, at, n.layer, "")
		}
		if regular && n.mode&modeSetgid != 0 {
			f.add(Setgid, at, n.layer, "")
		}
		if n.mode&modeWorldWrites != 0 && (regular || n.typ == tar.TypeDir && n.mode&modeSticky == 0) {
			f.add(WorldWritable, at, n.layer, "")
		}
	})
}

// programs finds shells and package managers by their names, in the directories where programs are looked for and where
// /etc/shells says.
func (f *facts) programs(dirs []string) {
	for _, dir := range dirs {
		for _, name := range f.tree.names(dir) {
			if isShell(name) {
				f.program(Shell, path.Join(dir, name))
			}
			if isManager(name) {
				f.program(PackageManager, path.Join(dir, name))
			}
		}
	}
	for _, line := range f.lines("/etc/shells") {
		if path.IsAbs(line) {
			f.program(Shell, line)
		}
	}
}

// program adds a file that can be run, under its path without links in its directory.
func (f *facts) program(what, at string) {
	n, real := f.tree.lookup(at, false)
	target, _ := f.tree.lookup(at, true)
	if target == nil || target.typ != tar.TypeReg || target.mode&modeRuns == 0 {
		return
	}
	f.add(what, real, n.layer, n.more().link)
}

func isShell(name string) bool {
	switch name {
	case "sh", "ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "pwsh", "rbash", "tcsh", "toybox", "zsh":
		return true
	}
	return false
}

func isManager(name string) bool {
	switch name {
	case "apk", "apt", "apt-get", "aptitude", "bundle", "cargo", "composer", "conda", "dnf", "dnf5", "dpkg", "gem", "mamba", "microdnf",
		"npm", "npx", "opkg", "pacman", "pip", "pipx", "pnpm", "poetry", "rpm", "snap", "tdnf", "uv", "yarn", "yum", "zypper":
		return true
	}
	version, ok := strings.CutPrefix(name, "pip")
	return ok && strings.Trim(version, "0123456789.") == "" // pip3, pip3.11
}

// accounts finds those that may be logged in to without a password.
func (f *facts) accounts() {
	shells := map[string]string{}
	for _, line := range f.lines("/etc/passwd") {
		field := strings.Split(line, ":")
		if len(field) != 7 {
			continue
		}
		shells[field[0]] = field[6]
		if field[1] == "" {
			f.account("/etc/passwd", field[0], shells)
		}
	}
	for _, line := range f.lines("/etc/shadow") {
		if field := strings.Split(line, ":"); len(field) == 9 && field[1] == "" {
			f.account("/etc/shadow", field[0], shells)
		}
	}
}

func (f *facts) account(at, name string, shells map[string]string) {
	switch path.Base(shells[name]) {
	case "nologin", "false":
		return
	}
	n, _ := f.tree.lookup(at, true)
	f.add(Account, at, n.layer, name)
}

// lines are those of a file that is kept.
func (f *facts) lines(at string) []string {
	return strings.FieldsFunc(string(f.tree.content(at)), func(r rune) bool { return r == '\n' || r == '\r' })
}

// isAccounts says that a file is one of those that accounts and shells are read from.
func isAccounts(at string) bool {
	switch at {
	case "/etc/passwd", "/etc/shadow", "/etc/shells":
		return true
	}
	return false
}
