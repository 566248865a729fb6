package buildkit

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// A package manager that could not read an index says so in a line among others, and goes on. However the line comes in
// pieces, and whatever stands before it, the build ends there.
func TestHalfFetchedIndexes(t *testing.T) {
	const apt, apk, dnf = "RUN apt-get update", "RUN apk add x", "RUN dnf -y install x"
	for name, c := range map[string]struct {
		step, log string
		half      string // the line
	}{
		"apt":                       {apt, "Hit:1 http://h stable InRelease\nErr:2 http://h stable-security InRelease\n  Could not connect\nW: Failed to fetch http://h/InRelease  Could not connect\nW: Some index files failed to download. They have been ignored, or old ones used instead.\n", "W: Failed to fetch http://h/InRelease  Could not connect"},
		"apt, with an error":        {apt, "E: Failed to fetch http://h/Packages  404\n", "E: Failed to fetch http://h/Packages  404"},
		"apt, only the second line": {apt, "W: Some index files failed to download.\n", "W: Some index files failed to download."},
		"apk 2":                     {apk, "fetch http://h/main/x86_64/APKINDEX.tar.gz\nWARNING: Ignoring http://h/main: No such file or directory\n", "WARNING: Ignoring http://h/main: No such file or directory"},
		"apk 2, an old one":         {apk, "WARNING: fetching http://h/main: temporary error (try again later)\n(1/1) Installing x\nOK: 8 MiB\n", "WARNING: fetching http://h/main: temporary error (try again later)"},
		"apk 3":                     {apk, "WARNING: updating and opening http://h/main/x86_64/APKINDEX.tar.gz: temporary error\n", "WARNING: updating and opening http://h/main/x86_64/APKINDEX.tar.gz: temporary error"},
		"dnf":                       {dnf, "Errors during downloading metadata for repository 'r':\n  - Curl error (7)\nError: Failed to download metadata for repo 'r'\nIgnoring repositories: r\nDependencies resolved.\n", "Ignoring repositories: r"},
		"zypper":                    {"RUN zypper -n up", "Some of the repositories are late\nWarning: Skipping repository 'Main Update' because of the above error.\nNothing to do.\n", "Warning: Skipping repository 'Main Update' because of the above error."},
		"a terminal's line end":     {apt, "W: Failed to fetch http://h/InRelease\r\n", "W: Failed to fetch http://h/InRelease"},

		"all is well":                {apt, "Hit:1 http://h stable InRelease\nReading package lists...\n", ""},
		"it is only quoted":          {apt, "echo 'W: Failed to fetch'\n", ""},
		"another warning":            {apk, "WARNING: Ignoring the owner of /x\n", ""},
		"not of a RUN":               {"COPY a b", "W: Failed to fetch http://h/InRelease\n", ""},
		"a line that is never ended": {apt, strings.Repeat("x", 3*lineBytes), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, len(c.log)} {
				ended := false
				p := newProgress(nil, func(error) { ended = true }, nil)
				d := digest.FromString(c.step)
				now := time.Now()
				p.update(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d, Name: "[2/3] " + c.step, Started: &now}}})
				for rest := c.log; rest != ""; {
					n := min(size, len(rest))
					p.update(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: d, Stream: 2, Data: []byte(rest[:n])}}})
					rest = rest[n:]
				}
				p.end()
				switch {
				case c.half == "" && (p.half != nil || ended):
					t.Errorf("in pieces of %d: %v", size, p.half)
				case c.half != "" && (p.half == nil || !ended || p.half.Reason != c.step+" did not get every package index: "+c.half):
					t.Errorf("in pieces of %d: %+v, want %q", size, p.half, c.half)
				}
			}
		})
	}
}
