package buildkit

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// packageManagers are the commands that read a package repository, each with its verbs that do. A command with
// no verbs always does. A verb is known in all its names, wherever it stands behind the command: options come before it.
func packageManagers() map[string][]string {
	apt := []string{
		"update", "install", "upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "dselect-upgrade", "build-dep", "satisfy", "reinstall",
		"download", "source",
	}
	dnf := []string{
		"install", "in", "localinstall", "reinstall", "rei", "update", "up", "upgrade", "upgrade-minimal", "update-minimal", "up-min", "update-to", "upgrade-to",
		"distro-sync", "distrosync", "distribution-synchronization", "dsync", "downgrade", "dg", "swap", "builddep", "build-dep",
		"makecache", "mc", "check-update", "check-upgrade", "download", "reposync", "system-upgrade", "offline-upgrade", "offline-distrosync",
		"group", "groups", "groupinstall", "groupupdate", "environment", "module", "shell", "do",
	}
	zypper := []string{
		"install", "in", "install-new-recommends", "inr", "source-install", "si", "update", "up", "patch", "dist-upgrade", "dup", "refresh", "ref",
		"refresh-services", "refs", "download", "verify", "ve", "shell", "sh",
	}
	apk := []string{"add", "update", "upgrade", "fix", "fetch", "sync", "download"} // the last two behind "cache"
	return map[string][]string{
		"apt-get": apt, "apt": apt, "apt-fast": apt, "nala": apt, "aptitude": apt,
		"apk": apk, "apk.static": apk,
		"dnf": dnf, "dnf-3": dnf, "dnf4": dnf, "dnf5": dnf, "microdnf": dnf, "tdnf": dnf, "yum": dnf, "yum4": dnf,
		"rpm-ostree": {"install", "update", "upgrade", "override"},
		"zypper":     zypper,
		// These have no verbs.
		"debootstrap": nil, "mmdebstrap": nil, "unattended-upgrade": nil, "unattended-upgrades": nil, "yum-builddep": nil, "yumdownloader": nil,
		"install_packages": nil, // Bitnami's wrapper around apt-get
	}
}

// maxNesting bounds how deep `sh -c "sh -c '...'"` is followed.
const maxNesting = 4

// installsPackages says whether a shell script has a command that reads a package repository, wherever it stands:
// behind sudo, in a chain, a loop, a function, a here-document, a nested `sh -c`.
func installsPackages(script string) bool { return scriptInstalls(script, 0) }

func scriptInstalls(script string, depth int) bool {
	if depth > maxNesting {
		return false
	}
	f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		// Another shell's syntax. Read as bare words; a needless run costs less than a stale image.
		return argsInstall(strings.Fields(script), depth)
	}
	found := false
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			found = found || argsInstall(literals(n.Args), depth)
		case *syntax.Redirect:
			found = found || n.Hdoc != nil && scriptInstalls(literal(n.Hdoc), depth+1)
		}
		return !found
	})
	return found
}

// argsInstall says whether one command's words install packages. The manager need not come first:
// `sudo apt-get install`, `env X=1 apk add`, `xargs apt-get install`, `bash -c "apt-get update"`.
func argsInstall(args []string, depth int) bool {
	managers := packageManagers()
	for i, a := range args {
		verbs, ok := managers[path.Base(a)]
		if ok && (len(verbs) == 0 || slices.ContainsFunc(args[i+1:], func(s string) bool { return slices.Contains(verbs, s) })) {
			return true
		}
		if strings.ContainsAny(a, " \t\n;") && scriptInstalls(a, depth+1) {
			return true
		}
	}
	return false
}

func literals(words []*syntax.Word) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = literal(w)
	}
	return out
}

// literal is a word as far as it is known without running anything; expansions are left out.
func literal(w *syntax.Word) string {
	var b strings.Builder
	writeLiteral(&b, w.Parts)
	return b.String()
}

func writeLiteral(b *strings.Builder, parts []syntax.WordPart) {
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			writeLiteral(b, p.Parts)
		}
	}
}
