// Package imagetest says what a test of an image is and what came of it; internal/build/buildkit runs the tests inside
// the image.
//
// Suites are written in the format of container-structure-test, schemaVersion 2.0.0, as YAML or JSON:
//
//	schemaVersion: 2.0.0
//	globalEnvVars: [{key: PATH, value: "/opt/app/bin:$PATH"}]
//	commandTests:
//	  - name: it starts
//	    command: app
//	    args: [--version]
//	    expectedOutput: ['^app \d+']
//	fileExistenceTests:
//	  - {name: the certificates, path: /etc/ssl/certs/ca-certificates.crt, shouldExist: true, permissions: -rw-r--r--}
//	metadataTest: {user: nobody, exposedPorts: ["8080"]}
//
// A file that container-structure-test accepts means the same here, as its docker driver takes it: a command is run
// directly, without a shell and without the image's entrypoint, as the image's user in its directory; $NAME in a
// command, its arguments and the path of a file that is to exist is replaced by what the image sets; patterns are Go's;
// teardown is read and not run, as each test's container is thrown away. These are different:
//
//   - An unknown key, a pattern that is none, a port or permissions that cannot be are errors of the file, with the line.
//   - A setup command that fails fails its test.
//   - containerRunOptions: user, allocateTty, and the capabilities that containers have anyway. What would open the
//     machine to an image (privileged, bindMounts, envVars, envFile, other capabilities) is an error.
//   - Nothing reaches a network.
//
// Some keys are ours; container-structure-test refuses them, so they make a file ours alone:
//
//	network: true                # of the file or of a command test: it reaches what the engine reaches
//	timeout: 30s                 # of the file or of a command or port test; one minute when nothing is said
//	services:                    # started in order, in the container of each command and port test, before its setup
//	  - name: server             # without command: the image's own entrypoint and cmd
//	    command: /app/server
//	    args: [--port, "8080"]
//	    envVars: [{key: MODE, value: test}]
//	    user: nobody
//	    ready:                   # all of these that are there; with none, it is ready once started
//	      port: 8080             # answers on 127.0.0.1
//	      output: ['listening']  # patterns, each found in a line that it has printed
//	      command: [/app/check]  # exits with 0; run once, so it waits itself
//	      timeout: 10s           # of the test's
//	portTests:                   # on 127.0.0.1, so that services must listen there or everywhere
//	  - name: it answers
//	    port: 8080
//	    send: "GET /health HTTP/1.0\r\n\r\n"
//	    expectedOutput: ['^HTTP/1\.[01] 200']
//
// Services and ports need nothing of the image: they work where there is no shell.
package imagetest

import (
	"context"
	"io"
	"time"
)

// Tester runs suites inside an image.
type Tester interface {
	// Test runs all suites. A test that fails is in the report, not in the error, which says why the tests could not be run:
	// a *build.Error for what the engine did, ctx's error when ctx ended. It is safe to repeat: nothing it does stays.
	Test(ctx context.Context, r Request) (*Report, error)
}

// Request is the tests of one image.
type Request struct {
	ID        string // unique per attempt
	Image     string // the image's name, for logs
	Reference string // what is tested, by digest: "127.0.0.1:5000/base/debian@sha256:..."
	Platform  string // "linux/amd64"
	Suites    []Suite
	// Affinity and Priority are those of the image's build: what waits for the build waits for its tests.
	Affinity string
	Priority time.Duration
	// Memory in bytes and CPUs bound each container; 0: no bound. A Tester that cannot bound them says so in its own
	// documentation. Timeout bounds each test that has no bound of its own; 0: one minute.
	Memory  int64
	CPUs    float64
	Timeout time.Duration
	Log     io.Writer // what tests print, plain; may be nil
}

// Report is what came of all tests.
type Report struct {
	Results []Result  `json:"results"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
}

// Result is what came of one test.
type Result struct {
	Suite    string        `json:"suite"` // file name
	Name     string        `json:"name"`
	Kind     string        `json:"kind"`
	Passed   bool          `json:"passed"`
	Problems []string      `json:"problems,omitempty"` // what was expected and what was there
	Output   string        `json:"output,omitempty"`   // the end of what it printed, bounded
	Took     time.Duration `json:"took"`
}

// Passed says that there were tests and all passed.
func (r *Report) Passed() bool {
	for _, t := range r.Results {
		if !t.Passed {
			return false
		}
	}
	return len(r.Results) > 0
}

// Failed are the tests that did not pass.
func (r *Report) Failed() (out []Result) {
	for _, t := range r.Results {
		if !t.Passed {
			out = append(out, t)
		}
	}
	return out
}

// Kinds of tests.
const (
	KindCommand  = "command"
	KindContent  = "content"
	KindFile     = "file"
	KindLicense  = "license"
	KindMetadata = "metadata"
	KindPort     = "port"
)
