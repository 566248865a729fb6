// Package imagetest says what a test of an image is and what came of it. Suites are written in the format of
// container-structure-test; internal/build/buildkit runs them inside the image.
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
	// Memory in bytes and CPUs bound each container; 0: no bound. Timeout bounds each test; 0: one minute.
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
	Kind     string        `json:"kind"` // command, file, metadata, port, ...
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

// Suite is one file of tests.
type Suite struct {
	Name string // file name
}

// Parse reads a suite.
func Parse(name string, data []byte) (Suite, error) { return Suite{Name: name}, nil }
