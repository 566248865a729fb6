// Package scan asks other scanners, Trivy and Grype, what they find in an image.
//
// They run as programs of their own, one for each scan: what they read is hostile, and what they need is large. A scanner
// is given the image's bill of materials, so that no image is pulled, and time, memory and output in bounds; it gets nothing
// of the daemon's environment and no way to the network. Whatever goes wrong is an *Unavailable that says so to people:
// a scanner that did not answer has found nothing out, which is not the same as having found nothing.
package scan

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/policy"
)

// Scanner is a program that finds vulnerabilities.
type Scanner interface {
	// Name is what findings are marked with: "trivy".
	Name() string
	// Scan looks for vulnerabilities in one image. Its error is an *Unavailable, or ctx's when that ended. It is safe for
	// concurrent use and leaves nothing behind.
	Scan(ctx context.Context, t Target) (*Report, error)
}

// Target is what is scanned: a bill of materials or an image.
type Target struct {
	SBOM   []byte // in CycloneDX, as internal/sbom writes it
	Layout string // a directory in OCI layout that has the image; used when there is no SBOM
	// DiffIDs are the image's layers, by which findings know theirs; may be nil.
	DiffIDs []v1.Hash
}

// Report is what a scanner found.
type Report struct {
	Scanner  string           `json:"scanner"`
	Version  string           `json:"version,omitempty"`
	Database Database         `json:"database"`
	Findings []policy.Finding `json:"findings"`
	// Warnings are what the scanner itself wants people to know, a sentence each: "unsupported os".
	Warnings []string      `json:"warnings,omitempty"`
	Took     time.Duration `json:"took"`
}

// Database is what a scanner knows, and since when.
type Database struct {
	Version string    `json:"version,omitempty"` // of its schema
	Built   time.Time `json:"built,omitzero"`
}

// Config says how a scanner is run. Its zero value works, with the scanner's usual program and database.
type Config struct {
	Command  string        // the program, looked up in PATH; the scanner's name when empty
	Database string        // directory of its database, which is only read; where the program itself keeps it when empty
	Timeout  time.Duration // of one scan; 5 minutes when zero
	Memory   int64         // bytes that it may use, its files left out; 2 GiB when zero
	// Temp is where it may write while it runs; the system's directory when empty. A directory that is named is one process's
	// alone: what a killed one left there is removed by New.
	Temp string
}

// New returns a scanner by name, "trivy" or "grype". It does not look for the program: that one may come later.
func New(name string, c Config) (Scanner, error) {
	if c.Temp != "" {
		sweepWork(name, c.Temp)
	}
	c.Command, c.Temp = cmp.Or(c.Command, name), cmp.Or(c.Temp, os.TempDir())
	if temp, err := filepath.Abs(c.Temp); err == nil { // scanners run in a directory of their own
		c.Temp = temp
	}
	c.Timeout, c.Memory = cmp.Or(c.Timeout, 5*time.Minute), cmp.Or(c.Memory, 2<<30)
	switch name {
	case "trivy":
		return &trivy{c}, nil
	case "grype":
		return &grype{c}, nil
	}
	return nil, fmt.Errorf("scanner %q is not known: use \"trivy\" or \"grype\"", name)
}

// Reason says why a scanner has nothing to say.
type Reason string

const (
	NotInstalled Reason = "not-installed" // there is no such program
	NoDatabase   Reason = "no-database"   // it has no database
	TimedOut     Reason = "timed-out"
	OutOfMemory  Reason = "out-of-memory"
	Killed       Reason = "killed"  // by a signal
	Failed       Reason = "failed"  // it said so
	Garbage      Reason = "garbage" // it said something that is no report
)

// Unavailable says why a scanner has nothing to say, and what to do about it. It is for people to read.
type Unavailable struct {
	Scanner string
	Reason  Reason
	Problem string // what is wrong
	Do      string // the way out
	Words   string // what the program said last, bounded and printable; may be empty
	Cause   error  // may be nil
}

func (e *Unavailable) Error() string {
	s := e.Scanner + ": " + e.Problem
	if e.Words != "" {
		s += " (it said: " + e.Words + ")"
	}
	return s + ": " + e.Do
}

func (e *Unavailable) Unwrap() error { return e.Cause }
