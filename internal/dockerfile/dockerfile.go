// Package dockerfile finds the image references of a Dockerfile, says what each of them is to the image that is built,
// and rewrites them in place without touching another byte.
//
// BuildKit's own parser says what the instructions mean; this package adds where in the file they say it:
//
//	ARG BASE=registry.example.com/base/java:17      <- the reference of line 3 is held here
//	FROM golang:1.26 AS build                       <- builds-with
//	FROM ${BASE}                                    <- inherits, Final
//	COPY --from=build /app /app                     <- a stage
//	COPY --from=busybox:1.37 /bin/wget /bin/wget    <- copies-from
//
// What a target reaches is BuildKit's own answer, not ours: Uses has it convert the file as a build would, with
// registries that know every image, and says for each image that is then asked for where in the file it stands.
//
// It is pure: values in, values out. Variables are resolved as BuildKit does, from ARG defaults, the given build
// arguments and the platform arguments of linux/amd64 (give TARGETPLATFORM among the build arguments for another, and
// BUILDPLATFORM for a builder of another). TARGETSTAGE is the last stage; Uses and Base take their target for it.
package dockerfile

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	distribution "github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Role is the kind of place in which a reference stands.
type Role string

const (
	Syntax           Role = "syntax"             // # syntax=...: the frontend, not a part of the image
	From             Role = "from"               // FROM
	CopyFrom         Role = "copy-from"          // COPY --from
	MountFrom        Role = "mount-from"         // RUN --mount=from
	OnbuildCopyFrom  Role = "onbuild-copy-from"  // ONBUILD COPY --from
	OnbuildMountFrom Role = "onbuild-mount-from" // ONBUILD RUN --mount=from
)

// Reference is one place that names an image or a stage. The empty image "scratch" is not a reference.
type Reference struct {
	Role Role   `json:"role"`
	Raw  string `json:"raw"`           // as written where it is used: "${BASE}"
	Name string `json:"name"`          // with variables resolved; "" when that leaves no reference
	Arg  string `json:"arg,omitempty"` // the ARG whose default holds it, when a variable does
	Line int    `json:"line"`          // where it is used; 1 is the first
	// Stage is the name or number of the stage that is meant, even of one that is not there; empty when it is an image.
	Stage string `json:"stage,omitempty"`
	// StageIndex is the stage in which it stands, from 0; -1 for Syntax and for what stands nowhere.
	StageIndex int `json:"stage_index"`
	// Platform is the one for which an image is taken, such as "linux/arm64": that of FROM --platform, or the one that is
	// built for. Empty for stages and for Syntax.
	Platform string `json:"platform,omitempty"`
	// Final says that the last stage inherits from it: its packages are in the image.
	Final bool `json:"final,omitempty"`

	// Rewritable says whether Rewrite can change it; Why says why not, or what to keep in mind.
	Rewritable bool   `json:"rewritable"`
	Why        string `json:"why,omitempty"`
	// Start and End are the bytes that Rewrite replaces: Name, or the part of it that follows what variables give.
	// For what cannot be rewritten they are those of Raw, or 0 when it could not be located.
	Start int `json:"start"`
	End   int `json:"end"`

	slot slot
}

// Stage is one FROM and what follows it.
type Stage struct {
	Name   string // as written after AS, in small letters; may be empty
	Line   int
	Parent int // index of the stage that it is FROM, or -1
	uses   []int
}

// File is a parsed Dockerfile.
type File struct {
	Path       string
	References []Reference // in the order of the file
	Stages     []Stage

	src    []byte
	args   map[string]string
	nodes  [][]*parser.Node // the instructions of each stage
	global *scope           // the ARGs before the first FROM
}

// Use says what an image is to the target that is built. The first three are named as the kinds of edges in the graph.
type Use string

const (
	Inherits    Use = "inherits"    // the target's packages come from it
	BuildsWith  Use = "builds-with" // a stage that is built on it gives something to the target
	CopiesFrom  Use = "copies-from" // files of it are copied or mounted
	Frontend    Use = "frontend"    // it reads the Dockerfile
	Unreachable Use = "unreachable" // the target does not need it
	Unknown     Use = "unknown"     // a frontend reads the file that is not Docker's: what it takes is not known
)

// Used is a reference to an image together with what it is to a target.
type Used struct {
	Reference
	Use Use `json:"use"`
}

// Target returns the index of a stage by name, or of the last one for "".
func (f *File) Target(name string) (int, error) {
	if name == "" {
		return len(f.Stages) - 1, nil
	}
	if i := f.stage(name); i >= 0 {
		return i, nil
	}
	var known []string
	for _, s := range f.Stages {
		if s.Name != "" {
			known = append(known, s.Name)
		}
	}
	return -1, fmt.Errorf("%s: no stage %q, there are %q", f.Path, name, known)
}

// stage returns the last stage of that name, or -1.
func (f *File) stage(name string) int {
	for i, s := range slices.Backward(f.Stages) {
		if s.Name != "" && s.Name == strings.ToLower(name) {
			return i
		}
	}
	return -1
}

// Base returns the reference that the target inherits from in the end, through all stages between. It is false for an
// image that stands on scratch, and for a target that does not exist.
func (f *File) Base(target string) (Reference, bool) {
	at, err := f.Target(target)
	if err != nil {
		return Reference{}, false
	}
	if f, err = f.built(target); err != nil {
		return Reference{}, false
	}
	return f.base(at)
}

func (f *File) base(at int) (Reference, bool) {
	for f.Stages[at].Parent >= 0 {
		at = f.Stages[at].Parent
	}
	for _, r := range f.References {
		if r.Role == From && r.StageIndex == at {
			return r, true
		}
	}
	return Reference{}, false
}

// Uses returns every reference to an image and what it is to target. BuildKit decides what is reached and what the target
// stands on; an image that it reaches and that stands nowhere in the file comes last, without a role and a line. An error
// says why it would not build the target.
//
// An image in an ONBUILD counts as a copy of the stage in which it stands, as whatever is built on that copies from it; a
// stage in one only counts for the stages of this file that are FROM the one it stands in.
func (f *File) Uses(target string) ([]Used, error) {
	return f.UsesOn(target, nil)
}

// UsesOn is Uses when the ONBUILDs of images that the file is built on are known.
func (f *File) UsesOn(target string, triggers Triggers) ([]Used, error) {
	own, err := f.found(target)
	if err != nil {
		return nil, err
	}
	if f.Frontend() != "" {
		for i := range own {
			if own[i].Use != Frontend {
				own[i].Use = Unknown
			}
		}
		return own, nil
	}
	if err := f.afford(triggers); err != nil {
		return nil, err
	}
	a, err := f.ask(target, triggers)
	if err != nil {
		return nil, err
	}
	return a.settle(own), nil
}

// Frontend returns the image that reads the file, if it is not Docker's own or a copy of it under the same path.
func (f *File) Frontend() string {
	for _, r := range f.References {
		if r.Role != Syntax {
			continue
		}
		ref, err := distribution.ParseNormalizedNamed(r.Name)
		if err != nil {
			return r.Raw
		}
		switch path := distribution.Path(ref); {
		case path == dockers || path == dockers+"-upstream":
		case strings.HasSuffix(path, "/"+dockers) || strings.HasSuffix(path, "/"+dockers+"-upstream"):
		default:
			return r.Name
		}
	}
	return ""
}

// dockers is where Docker's frontend is published, and below which path mirrors have it.
const dockers = "docker/dockerfile"

// found is what this package finds by itself.
func (f *File) found(target string) ([]Used, error) {
	at, err := f.Target(target)
	if err != nil {
		return nil, err
	}
	if f, err = f.built(target); err != nil {
		return nil, err
	}
	chain, reached := f.reach(at)
	var out []Used
	for _, r := range f.References {
		if r.Stage != "" {
			continue
		}
		u := Used{r, CopiesFrom}
		switch {
		case r.Role == Syntax:
			u.Use = Frontend
		case !reached[r.StageIndex]:
			u.Use = Unreachable
		case r.Role == From && chain[r.StageIndex]:
			u.Use = Inherits
		case r.Role == From:
			u.Use = BuildsWith
		}
		out = append(out, u)
	}
	return out, nil
}

// built is the file as it reads when target is built: what it names can depend on TARGETSTAGE.
func (f *File) built(target string) (*File, error) {
	if target == "" || !bytes.Contains(f.src, []byte(targetStage)) {
		return f, nil
	}
	return parseFor(target, f.Path, f.src, f.args)
}

// reach returns the stages that target is FROM, itself included, and all that it needs.
func (f *File) reach(target int) (chain, reached []bool) {
	chain, reached = make([]bool, len(f.Stages)), make([]bool, len(f.Stages))
	for at := target; at >= 0; at = f.Stages[at].Parent {
		chain[at] = true
	}
	todo := []int{target}
	reached[target] = true
	for len(todo) > 0 {
		s := f.Stages[todo[0]]
		todo = todo[1:]
		needs := s.uses
		if s.Parent >= 0 {
			needs = append(slices.Clone(needs), s.Parent)
		}
		for _, n := range needs {
			if !reached[n] {
				reached[n] = true
				todo = append(todo, n)
			}
		}
	}
	return chain, reached
}
