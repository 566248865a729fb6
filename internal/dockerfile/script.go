package dockerfile

import (
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
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
		// These are wrappers in well-known images.
		"install_packages": nil, "docker-php-ext-install": nil, "install-php-extensions": nil,
	}
}

// maxNesting bounds how deep `sh -c "sh -c '...'"` is followed.
const maxNesting = 4

// found is what was found out of a command or a script.
type found struct {
	installs bool
	doubt    string // why it may; the first reason
}

func (f *found) add(o found) {
	f.installs = f.installs || o.installs
	f.maybe(o.doubt)
}

func (f *found) maybe(doubt string) {
	if f.doubt == "" {
		f.doubt = doubt
	}
}

// reader reads the RUN instructions of one Dockerfile.
type reader struct {
	given map[string]bool // the names of files that the Dockerfile puts into the image
}

// run looks for a command that reads a package repository, wherever it stands: behind sudo, in a chain, a loop, a function, a
// here-document, a nested `sh -c`. known says that the stage's shell is one whose language this is.
func (r *reader) run(c *instructions.RunCommand, known bool) found {
	if !c.PrependShell { // exec form
		return r.command(plain(c.CmdLine), 0)
	}
	script := strings.Join(c.CmdLine, " ")
	for _, f := range c.Files {
		script += "\n" + f.Data + f.Name
	}
	out := r.script(script, 0)
	if !known {
		out.maybe("its SHELL speaks a language that is not known here")
	}
	return out
}

func (r *reader) script(script string, depth int) (out found) {
	if depth > maxNesting {
		return found{doubt: "it nests scripts too deep to follow"}
	}
	if first, _, _ := strings.Cut(script, "\n"); strings.HasPrefix(first, "#!") && !slices.ContainsFunc(strings.Fields(first[2:]), isShell) {
		out.maybe("it runs a script for " + strings.TrimSpace(first[2:]))
	}
	f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "")
	if err != nil {
		// Another language. Read as bare words; a needless run costs less than a stale image.
		out.add(r.command(plain(strings.Fields(script)), depth))
		out.maybe("it runs a script that could not be read")
		return out
	}
	own := functions(f)
	syntax.Walk(f, func(n syntax.Node) bool {
		if st, ok := n.(*syntax.Stmt); ok {
			out.add(r.statement(st, own, depth))
		}
		return !out.installs
	})
	return out
}

// functions are the names that a script itself gives to commands.
func functions(f *syntax.File) map[string]bool {
	own := map[string]bool{}
	syntax.Walk(f, func(n syntax.Node) bool {
		if fn, ok := n.(*syntax.FuncDecl); ok {
			own[fn.Name.Value] = true
		}
		return true
	})
	return own
}

func (r *reader) statement(st *syntax.Stmt, own map[string]bool, depth int) (out found) {
	call, _ := st.Cmd.(*syntax.CallExpr)
	var args []word
	if call != nil {
		args = words(call.Args)
	}
	read := false // there is a here-document
	for _, d := range st.Redirs {
		if d.Hdoc == nil {
			continue
		}
		read = true
		in := r.script(literal(d.Hdoc).text, depth+1)
		if st.Cmd != nil && !runsInput(args) {
			in.doubt = "" // it is a file's text
		}
		out.add(in)
	}
	if len(args) == 0 || read && runsInput(args) {
		return out
	}
	does := r.command(args, depth)
	if own[args[0].text] {
		does.doubt = "" // it is read where it stands
	}
	out.add(does)
	return out
}

// command says what one command's words do. A package manager need not come first: `sudo apt-get install`,
// `env X=1 apk add`, `xargs apt-get install`, `bash -c "apt-get update"`.
func (r *reader) command(args []word, depth int) (out found) {
	managers := packageManagers()
	for i, a := range args {
		verbs, ok := managers[path.Base(a.text)]
		if ok && (len(verbs) == 0 || slices.ContainsFunc(args[i+1:], func(w word) bool { return slices.Contains(verbs, w.text) })) {
			return found{installs: true}
		}
		if strings.ContainsAny(a.text, " \t\n;") && r.script(a.text, depth+1).installs {
			return found{installs: true}
		}
	}
	out.maybe(r.unknown(unwrapped(args), depth))
	return out
}

// unknown says why nobody can tell what a command does, although no package manager is named; empty when there is no
// reason to think that it does something with packages.
func (r *reader) unknown(args []word, depth int) string {
	if len(args) == 0 {
		return ""
	}
	program, rest := args[0], args[1:]
	base := path.Base(program.text)
	switch {
	case !program.whole && !inBin(program.text):
		return "it runs what a variable says"
	case isShell(base):
		return r.shell(base, rest, depth)
	case base == "eval":
		return r.evaluated(rest, depth)
	case base == "." || base == "source":
		if len(rest) > 0 && (!rest[0].whole || !strings.HasPrefix(rest[0].text, "/etc/")) {
			return "it reads a script: " + shown(rest[0])
		}
	case slices.Contains([]string{"ansible-playbook", "ansible-pull", "puppet", "chef-client", "chef-solo", "salt-call"}, base):
		return "it runs " + base
	case r.given[base], strings.HasSuffix(base, ".sh"), strings.Contains(program.text, "/") && !inBin(program.text):
		return "it runs " + shown(program)
	}
	return ""
}

// shell says what of a shell's script is not known.
func (r *reader) shell(name string, args []word, depth int) string {
	for i, a := range args {
		option := strings.HasPrefix(a.text, "-") || strings.HasPrefix(a.text, "+")
		switch {
		case option && !strings.HasPrefix(a.text, "--") && strings.HasSuffix(a.text, "c"):
			return r.evaluated(args[i+1:], depth)
		case option, i > 0 && takesValue(args[i-1].text):
		case a.text == "" && a.whole:
		default:
			return "it runs " + shown(a)
		}
	}
	return "it runs what " + name + " is given to read"
}

// takesValue says that a shell's option is followed by a word of its own: `bash -o pipefail`.
func takesValue(option string) bool {
	return len(option) > 1 && (option[0] == '-' || option[0] == '+') && !strings.HasPrefix(option, "--") && strings.HasSuffix(strings.ToLower(option), "o")
}

// evaluated says what of a script in words is not known.
func (r *reader) evaluated(script []word, depth int) string {
	if len(script) == 0 {
		return ""
	}
	if strings.TrimSpace(script[0].text) == "" && !script[0].whole {
		return "it runs what a variable says"
	}
	return r.script(script[0].text, depth+1).doubt
}

// runsInput says that a command is a shell that reads its script from its input.
func runsInput(args []word) bool {
	args = unwrapped(args)
	if len(args) == 0 || !isShell(args[0].text) {
		return false
	}
	for i, a := range args[1:] {
		if !strings.HasPrefix(a.text, "-") && !takesValue(args[i].text) {
			return false
		}
	}
	return true
}

// unwrapped is a command without what only starts it.
func unwrapped(args []word) []word {
	wrappers := []string{"sudo", "env", "exec", "command", "builtin", "nice", "ionice", "time", "timeout", "nohup", "eatmydata", "xargs", "chroot", "su-exec", "gosu", "setarch", "then", "do", "!"}
	for len(args) > 0 && slices.Contains(wrappers, path.Base(args[0].text)) {
		args = args[1:]
		for len(args) > 0 && !startsCommand(args[0]) {
			args = args[1:]
		}
	}
	return args
}

// startsCommand says that a word behind a wrapper is the command: no option, no assignment, no number.
func startsCommand(w word) bool {
	t := w.text
	return t == "" && !w.whole || t != "" && t[0] != '-' && !strings.Contains(t, "=") && strings.Trim(t, "0123456789.smh") != ""
}

func isShell(name string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "rbash"}, path.Base(name))
}

// inBin says that a program is where programs are that were installed, not one that the recipe brings.
func inBin(program string) bool {
	return slices.Contains([]string{"bin", "sbin", ".bin"}, path.Base(path.Dir(program)))
}

// word is a word as far as it is known without running anything: expansions are left out, and then it is not whole.
type word struct {
	text  string
	whole bool
}

func plain(args []string) []word {
	out := make([]word, len(args))
	for i, a := range args {
		out[i] = word{a, true}
	}
	return out
}

// shown is a word for people.
func shown(w word) string {
	t := w.text
	if len(t) > 80 {
		t = t[:80] + "..."
	}
	if !w.whole {
		return "what a variable says (..." + t + ")"
	}
	return t
}

func words(ws []*syntax.Word) []word {
	out := make([]word, len(ws))
	for i, w := range ws {
		out[i] = literal(w)
	}
	return out
}

func literal(w *syntax.Word) word {
	var b strings.Builder
	whole := writeLiteral(&b, w.Parts)
	return word{b.String(), whole}
}

func writeLiteral(b *strings.Builder, parts []syntax.WordPart) (whole bool) {
	whole = true
	for _, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			whole = writeLiteral(b, p.Parts) && whole
		default:
			whole = false
		}
	}
	return whole
}
