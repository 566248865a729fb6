package dockerfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// maxSize bounds a Dockerfile. BuildKit's parser recurses with the nesting of variables.
const maxSize = 256 << 10

// Parse reads a Dockerfile. args are the build arguments that it is built with. Errors name path and, where it is
// known, the line. References that BuildKit would refuse only once it resolves them are found all the same.
func Parse(path string, src []byte, args map[string]string) (*File, error) {
	return parseFor("", path, src, args)
}

// parseFor is Parse for a build of the stage target, or of the last one for "".
func parseFor(target, path string, src []byte, args map[string]string) (*File, error) {
	if len(src) > maxSize {
		return nil, fmt.Errorf("%s: a Dockerfile of %d bytes is too long, the most is %d", path, len(src), maxSize)
	}
	result, err := parser.Parse(bytes.NewReader(src))
	if err != nil {
		return nil, whereIn(path, err)
	}
	withoutComments(result.AST)
	stages, _, err := instructions.Parse(result.AST, nil)
	if err != nil {
		return nil, whereIn(path, err)
	}
	if len(stages) == 0 {
		return nil, fmt.Errorf("%s: there is no FROM", path)
	}
	f := &File{Path: path, src: bytes.Clone(src), args: args}
	p := &parse{
		file: f, source: newSource(f.src, result.EscapeToken), lex: shell.NewLex(result.EscapeToken),
		stages: stages, scope: builderArgs(args, cmp.Or(target, stages[len(stages)-1].Name)), inStages: argsOf(stages), at: -1,
	}
	p.syntax()
	for _, node := range result.AST.Children {
		if err := p.node(node); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, node.StartLine, err)
		}
	}
	p.finish()
	f.global = p.scope
	return f, nil
}

// withoutComments takes the comments away from instructions: without a linter, BuildKit panics at a "# check=" among them.
func withoutComments(ast *parser.Node) {
	for _, n := range ast.Children {
		n.PrevComment = nil
		if n.Next != nil {
			withoutComments(n.Next) // ONBUILD
		}
	}
}

// whereIn says where BuildKit found a mistake.
func whereIn(path string, err error) error {
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		return fmt.Errorf("%s:%d: %w", path, max(1, at.Locations[0][0].Start.Line), at.Unwrap())
	}
	return fmt.Errorf("%s: %w", path, err)
}

// argsOf returns the ARGs without default inside stages: they take the value of the global one.
func argsOf(stages []instructions.Stage) map[string]bool {
	names := map[string]bool{}
	for _, s := range stages {
		for _, c := range s.Commands {
			arg, ok := c.(*instructions.ArgCommand)
			if !ok {
				continue
			}
			for _, a := range arg.Args {
				if a.Value == nil {
					names[a.Key] = true
				}
			}
		}
	}
	return names
}

// parse walks the nodes of one file.
type parse struct {
	file     *File
	source   *source
	lex      *shell.Lex
	stages   []instructions.Stage
	scope    *scope
	args     int
	inStages map[string]bool

	at      int // the stage, from 0
	command int // in it
}

// node takes one instruction of the file.
func (p *parse) node(n *parser.Node) error {
	line := p.source.instruction(n.StartLine)
	if line.s != n.Original {
		line = text{} // what follows then says that it could not be located
	}
	_, flags, rest := line.words(p.source.escape)
	switch name := strings.ToUpper(n.Value); {
	case name == "FROM":
		p.at++
		p.command = 0
		return p.from(n, rest)
	case p.at < 0:
		return p.arg(n, rest)
	default:
		c := p.stages[p.at].Commands[p.command]
		p.command++
		p.file.nodes[p.at] = append(p.file.nodes[p.at], n)
		if _, ok := c.(*instructions.OnbuildCommand); ok {
			p.onbuild(n, rest)
			return nil
		}
		p.copies(c, n.StartLine, flags, "")
		return nil
	}
}

// arg takes an ARG before the first FROM.
func (p *parse) arg(n *parser.Node, rest text) error {
	command, err := instructions.ParseInstruction(n)
	if err != nil {
		return err
	}
	arg, ok := command.(*instructions.ArgCommand)
	if !ok {
		return fmt.Errorf("%s before the first FROM", n.Value)
	}
	if p.args += len(arg.Args); p.args > maxArgs {
		return fmt.Errorf("more than %d ARGs before the first FROM", maxArgs)
	}
	words := rest.arguments(p.source.escape)
	for i, a := range arg.Args {
		s := &scope{before: p.scope, key: a.Key}
		if a.Value != nil {
			if s.value, err = p.scope.resolve(p.lex, *a.Value); err != nil {
				return err
			}
			s.set = true
			if i < len(words) && words[i].s == a.Key+"="+*a.Value {
				s.raw, s.located = words[i].slice(len(a.Key)+1, len(words[i].s)), true
			}
		}
		if v, ok := p.file.args[a.Key]; ok {
			s.value, s.set, s.given = v, true, true
		}
		p.scope = s
	}
	return nil
}

// from takes a FROM.
func (p *parse) from(n *parser.Node, rest text) error {
	stage := p.stages[p.at]
	name, err := p.scope.resolve(p.lex, stage.BaseName)
	if err != nil {
		return err
	}
	parent := p.earlier(name)
	p.file.Stages = append(p.file.Stages, Stage{Name: stage.Name, Line: n.StartLine, Parent: parent})
	p.file.nodes = append(p.file.nodes, nil)
	if name == "scratch" && parent < 0 {
		return nil
	}
	r := Reference{Role: From, Raw: stage.BaseName, Name: name, Line: n.StartLine, StageIndex: p.at}
	switch {
	case parent >= 0:
		r.Stage = name
	case stage.Platform == "":
		r.Platform = p.file.Platform()
	default:
		to, err := p.scope.resolve(p.lex, stage.Platform)
		if err != nil {
			return err
		}
		r.Platform = platform(to)
	}
	word := rest
	for i := range len(rest.s) {
		if isBlank(rest.s[i]) {
			word = rest.slice(0, i)
			break
		}
	}
	if word.s != r.Raw {
		word = text{}
	}
	p.add(r, word, func() slot { return p.scope.find(p.lex, p.source.escape, word, p.inStages) })
	return nil
}

// earlier returns the last stage so far whose name a FROM means, or -1. Only small letters match, as in BuildKit.
func (p *parse) earlier(name string) int {
	for i := len(p.file.Stages) - 1; i >= 0; i-- {
		if s := p.file.Stages[i].Name; s != "" && s == name {
			return i
		}
	}
	return -1
}

// onbuild takes the instruction that an ONBUILD holds for images built on this one.
func (p *parse) onbuild(n *parser.Node, rest text) {
	if n.Next == nil || len(n.Next.Children) != 1 {
		return
	}
	child := n.Next.Children[0]
	command, err := instructions.ParseInstruction(child)
	if err != nil {
		return // it only fails when an image is built on this one
	}
	c, ok := command.(instructions.Command)
	if !ok {
		return
	}
	if rest.s != child.Original {
		rest = text{}
	}
	_, flags, _ := rest.words(p.source.escape)
	p.copies(c, n.StartLine, flags, "onbuild-")
}

// copies takes the references in the flags of a COPY or RUN.
func (p *parse) copies(c instructions.Command, line int, flags []text, onbuild string) {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From == "" {
			return
		}
		var word text
		for _, f := range flags {
			if strings.HasPrefix(f.s, "--from=") {
				word = f.slice(len("--from="), len(f.s))
			}
		}
		p.image(Role(onbuild)+CopyFrom, c.From, line, word)
	case *instructions.RunCommand:
		var mounts []text
		for _, f := range flags {
			if strings.HasPrefix(f.s, "--mount=") {
				mounts = append(mounts, f.slice(len("--mount="), len(f.s)))
			}
		}
		for i, m := range instructions.GetMounts(c) {
			if m.From == "" {
				continue
			}
			var word text
			if i < len(mounts) {
				word = mountFrom(mounts[i])
			}
			p.image(Role(onbuild)+MountFrom, m.From, line, word)
		}
	}
}

// mountFrom returns the value of the last from= of a mount; nothing when its fields are quoted.
func mountFrom(mount text) (from text) {
	if strings.Contains(mount.s, `"`) {
		return text{}
	}
	start := 0
	for field := range strings.SplitSeq(mount.s, ",") {
		if key, value, ok := strings.Cut(field, "="); ok && strings.EqualFold(key, "from") {
			end := start + len(field)
			from = mount.slice(end-len(value), end)
		}
		start += len(field) + 1
	}
	return from
}

// image adds a reference in which BuildKit expands no variables.
func (p *parse) image(role Role, name string, line int, word text) {
	r := Reference{Role: role, Raw: name, Name: name, Line: line, StageIndex: p.at, Platform: p.file.Platform()}
	if word.s != name {
		word = text{}
	}
	p.add(r, word, func() slot {
		if strings.Contains(name, "$") {
			return slot{why: "BuildKit expands no variables here; name a stage FROM it instead"}
		}
		return located(word)
	})
}

// add notes a reference; find is asked where it can be changed if its text was found.
func (p *parse) add(r Reference, word text, find func() slot) {
	r.slot = slot{why: "its text is quoted or escaped, and could not be located"}
	if word.s != "" {
		r.Start, r.End = word.at[0], word.at[len(word.at)-1]+1
		r.Line = p.source.lineOf(r.Start)
		r.slot = find()
	}
	if strings.HasSuffix(r.Name, ":") || strings.HasSuffix(r.Name, "@") || strings.HasSuffix(r.Name, "/") {
		r.Name = ""
	}
	switch sl := r.slot; {
	case sl.why != "":
	case !reference.MatchString(r.Name):
		r.slot.why = "its variables leave no reference"
		if r.Raw == r.Name {
			r.slot.why = "it is no reference"
		}
	case sl.prefix+string(p.file.src[sl.start:sl.end]) != r.Name: // bytes that are no text
		r.slot.why = "its value could not be located"
	}
	p.file.References = append(p.file.References, r)
}

// finish does what needs all stages: which references mean one, and what the last inherits from.
func (p *parse) finish() {
	f := p.file
	kept := f.References[:0]
	for _, r := range f.References {
		to := -1
		switch r.Role {
		case Syntax:
		case From:
			to = f.Stages[r.StageIndex].Parent
		default:
			to = p.stageOf(r)
		}
		switch {
		case r.Role == From:
		case to < 0 && r.numbered():
			r.Stage = r.Name
			r.slot.why = fmt.Sprintf("there is no stage %s, and BuildKit takes a number here for nothing else", r.Name)
		case to >= 0:
			r.Stage, r.slot.why, r.Platform = r.Name, "it names a stage", ""
			if !r.onbuild() {
				f.Stages[r.StageIndex].uses = append(f.Stages[r.StageIndex].uses, to)
			}
		}
		if to < 0 && r.Name == "scratch" {
			continue
		}
		kept = append(kept, r)
	}
	f.References = kept
	p.onbuildStages()
	base, ok := f.base(len(f.Stages) - 1)
	for i := range f.References {
		r := &f.References[i]
		r.Final = ok && r.Role == From && r.StageIndex == base.StageIndex
		switch {
		case r.Stage != "" && r.Role == From:
			r.Why = "it names a stage"
		case r.slot.why != "":
			r.Why = r.slot.why
		default:
			r.Rewritable = true
			r.Start, r.End, r.Arg = r.slot.start, r.slot.end, r.slot.arg
		}
	}
}

// stageOf returns the stage that a COPY or RUN means, or -1. Numbers count for COPY only, as in BuildKit.
func (p *parse) stageOf(r Reference) int {
	if i := p.file.stage(r.Name); i >= 0 {
		return i
	}
	if r.numbered() {
		if i, _ := strconv.Atoi(r.Name); i >= 0 && i < len(p.file.Stages) {
			return i
		}
	}
	return -1
}

// numbered says whether r is a number where BuildKit takes one for a stage.
func (r Reference) numbered() bool {
	_, err := strconv.Atoi(r.Name)
	return err == nil && (r.Role == CopyFrom || r.Role == OnbuildCopyFrom)
}

// onbuild says whether r stands in an ONBUILD.
func (r Reference) onbuild() bool { return r.Role == OnbuildCopyFrom || r.Role == OnbuildMountFrom }

// onbuildStages gives a stage what the ONBUILDs of the stage that it is FROM need.
func (p *parse) onbuildStages() {
	f := p.file
	for i, s := range f.Stages {
		if s.Parent < 0 {
			continue
		}
		for _, r := range f.References {
			if r.StageIndex != s.Parent || !r.onbuild() {
				continue
			}
			if to := p.stageOf(r); to >= 0 {
				f.Stages[i].uses = append(f.Stages[i].uses, to)
			}
		}
	}
}

// syntaxArg is the build argument that names another frontend than the file does.
const syntaxArg = "BUILDKIT_SYNTAX"

// syntax takes the directive that names a frontend.
func (p *parse) syntax() {
	name, _, at, ok := parser.DetectSyntax(p.file.src)
	if !ok || len(at) == 0 || at[0].Start.Line < 1 || at[0].Start.Line >= len(p.source.begins) {
		return
	}
	number := at[0].Start.Line
	line, begin := p.source.line(number)
	r := Reference{Role: Syntax, Raw: name, Name: name, Line: number, StageIndex: -1}
	var word text
	if _, value, ok := strings.Cut(line, "="); ok {
		value = strings.TrimLeft(value, " \t\v\f\r")
		if strings.HasPrefix(value, name) {
			word.s = name
			for i := range len(name) {
				word.at = append(word.at, begin+len(line)-len(value)+i)
			}
		}
	}
	given, ok := p.file.args[syntaxArg]
	if !ok {
		p.add(r, word, func() slot { return located(word) })
		return
	}
	r.Name, _, _ = strings.Cut(strings.TrimSpace(given), " ")
	p.add(r, word, func() slot {
		return slot{why: "build argument " + syntaxArg + " is given from outside and wins over the Dockerfile"}
	})
}
