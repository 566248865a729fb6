package buildkit

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const (
	stateContext = "rebuilder-repo-state" // the named context that holds the state
	stateTarget  = "/run/.rebuilder"      // where a package step sees it
	aptSecret    = "rebuilder-apt-config" // session secret: the path of aptConfig
	aptConfig    = "apt.conf"

	// stateFlags go behind RUN. The mount's content is part of the step's cache key: another state runs the step
	// again, the same state finds it. The secret is part of no key and only points apt at a stricter setting.
	stateFlags = " --mount=type=bind,from=" + stateContext + ",target=" + stateTarget +
		" --mount=type=secret,id=" + aptSecret + ",env=APT_CONFIG"

	freshContext = "rebuilder-fresh" // the named context that holds what a fresh build is known by
	// freshFlags go behind the RUN of all other steps of a fresh build, for the same reason.
	freshFlags = " --mount=type=bind,from=" + freshContext + ",target=" + stateTarget
)

var runKeyword = regexp.MustCompile(`(?i)^[ \t\v\f\r]*RUN\b`)

// packageSteps finds the RUN instructions to run again when the package repositories have changed, by their first
// line, counted from 1. certain is false when none could be recognised although something is run (a script, a
// variable): lines is then every RUN.
func packageSteps(dockerfile []byte) (lines []int, certain bool, err error) {
	runs, err := runInstructions(dockerfile)
	if err != nil {
		return nil, false, err
	}
	var all []int
	for _, r := range runs {
		all = append(all, r.line)
		if r.installs {
			lines = append(lines, r.line)
		}
	}
	if len(lines) == 0 && len(all) > 0 {
		return all, false, nil
	}
	return lines, true, nil
}

type runInstruction struct {
	line     int
	installs bool
}

func runInstructions(dockerfile []byte) ([]runInstruction, error) {
	f, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(f.AST, nil)
	if err != nil {
		return nil, err
	}
	var runs []runInstruction
	for _, s := range stages {
		for _, c := range s.Commands {
			if r, ok := c.(*instructions.RunCommand); ok {
				runs = append(runs, runInstruction{r.Location()[0].Start.Line, runInstalls(r)})
			}
		}
	}
	return runs, nil
}

func runInstalls(r *instructions.RunCommand) bool {
	for _, f := range r.Files { // here-documents, wherever they are piped to
		if installsPackages(f.Data) {
			return true
		}
	}
	if r.PrependShell {
		return installsPackages(strings.Join(r.CmdLine, " "))
	}
	return argsInstall(r.CmdLine, 0) // exec form
}

// markSteps puts flags behind the RUN of each of the lines and changes no other byte.
func markSteps(dockerfile []byte, flags map[int]string) ([]byte, error) {
	split := bytes.SplitAfter(dockerfile, []byte("\n"))
	var out []byte
	for i, l := range split {
		flags, ok := flags[i+1]
		if !ok {
			out = append(out, l...)
			continue
		}
		at := runKeyword.FindIndex(l)
		if at == nil {
			return nil, fmt.Errorf("line %d: expected RUN at the beginning of %q", i+1, bytes.TrimSpace(l))
		}
		out = append(out, l[:at[1]]...)
		out = append(out, flags...)
		out = append(out, l[at[1]:]...)
	}
	return out, nil
}

// unmark takes the flags out of what people read: step names, Dockerfile lines.
func unmark(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, stateFlags, ""), freshFlags, "")
}

// flags says which RUN steps are run again for a request's sake, and by what.
func flags(dockerfile []byte, state, fresh bool) (map[int]string, error) {
	runs, err := runInstructions(dockerfile)
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	if fresh {
		for _, r := range runs {
			out[r.line] = freshFlags
		}
	}
	if state {
		lines, _, err := packageSteps(dockerfile)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			out[l] = stateFlags
		}
	}
	return out, nil
}
