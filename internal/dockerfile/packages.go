package dockerfile

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Run is one RUN instruction, and what it may have to do with package repositories.
type Run struct {
	Line int `json:"line"` // its first; 1 is the file's first
	// Installs says that it reads package repositories: a package manager installs, updates or looks.
	Installs bool `json:"installs,omitempty"`
	// Doubt says why it may, although no package manager is named: "it runs ./install.sh". Empty: there is no reason to
	// think so.
	Doubt string `json:"doubt,omitempty"`
}

// Runs finds the RUN instructions of a Dockerfile. Those of ONBUILD are not run by a build of it and not among them. The
// error of a file that BuildKit would refuse is BuildKit's own, with its place.
func Runs(src []byte) ([]Run, error) {
	f, err := parser.Parse(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	withoutComments(f.AST)
	stages, _, err := instructions.Parse(f.AST, nil)
	if err != nil {
		return nil, err
	}
	given := givenPrograms(stages)
	var runs []Run
	for _, s := range stages {
		known := true // the shell's language
		for _, c := range s.Commands {
			switch c := c.(type) {
			case *instructions.ShellCommand:
				known = slices.ContainsFunc(c.Shell, isShell)
			case *instructions.RunCommand:
				found := (&reader{given: given}).run(c, known)
				runs = append(runs, Run{Line: c.Location()[0].Start.Line, Installs: found.installs, Doubt: found.doubt})
			}
		}
	}
	return runs, nil
}

// PackageSteps are the lines of the RUN instructions to run again when package repositories have changed: those that
// install packages and those that may. Where none is known to install any, although something is run, they are all of them.
// doubt says why there are more than those that install packages, in words that follow on nothing; empty when there are not.
func PackageSteps(runs []Run) (lines []int, doubt string) {
	var all []int
	var doubts []string
	certain := false
	for _, r := range runs {
		all = append(all, r.Line)
		if r.Installs || r.Doubt != "" {
			lines = append(lines, r.Line)
		}
		if certain = certain || r.Installs; !r.Installs && r.Doubt != "" {
			doubts = append(doubts, fmt.Sprintf("RUN in line %d may install packages, as %s", r.Line, r.Doubt))
		}
	}
	const most = 3
	switch n := len(doubts) - most; {
	case len(all) == 0:
		return nil, ""
	case !certain:
		return all, "no RUN is recognised as one that installs packages: all are run again"
	case len(doubts) == 0:
		return lines, ""
	case n > 0:
		doubts = append(doubts[:most], fmt.Sprintf("and %d more", n))
	}
	return lines, strings.Join(doubts, "; ") + ": what may is run again, too"
}

// givenPrograms are the names of the files that the Dockerfile puts into its images from its context: one of them may be run
// by its bare name.
func givenPrograms(stages []instructions.Stage) map[string]bool {
	given := map[string]bool{}
	add := func(p string) {
		if b := path.Base(p); b != "." && b != "/" {
			given[b] = true
		}
	}
	for _, s := range stages {
		for _, c := range s.Commands {
			var from instructions.SourcesAndDest
			switch c := c.(type) {
			case *instructions.CopyCommand:
				if c.From != "" { // a program that was made or taken elsewhere
					continue
				}
				from = c.SourcesAndDest
			case *instructions.AddCommand:
				from = c.SourcesAndDest
			default:
				continue
			}
			if !strings.HasSuffix(from.DestPath, "/") {
				add(from.DestPath)
			}
			for _, p := range from.SourcePaths {
				add(p)
			}
			for _, f := range from.SourceContents {
				add(f.Path)
			}
		}
	}
	return given
}
