package buildkit

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"rebuilder/internal/dockerfile"
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

// markSteps puts flags behind the RUN of each of the lines and changes no other byte.
func markSteps(src []byte, flags map[int]string) ([]byte, error) {
	split := bytes.SplitAfter(src, []byte("\n"))
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

// flags says which RUN steps are run again for a request's sake, and by what; doubt is that of dockerfile.PackageSteps.
func flags(src []byte, state, fresh bool) (_ map[int]string, doubt string, err error) {
	runs, err := dockerfile.Runs(src)
	if err != nil {
		return nil, "", err
	}
	out := map[int]string{}
	if fresh {
		for _, r := range runs {
			out[r.Line] = freshFlags
		}
	}
	if state {
		var lines []int
		lines, doubt = dockerfile.PackageSteps(runs)
		for _, l := range lines {
			out[l] = stateFlags
		}
	}
	return out, doubt, nil
}
