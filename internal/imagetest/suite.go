package imagetest

import (
	"regexp"
	"time"
)

// Suite is one file of tests. Parse makes one.
type Suite struct {
	Name string // file name

	// Env is set in every container, after $NAME in its values was replaced by the image's own.
	Env []Variable
	// User runs commands and services in place of the image's; empty: the image's.
	User string
	// Terminal gives commands a terminal; what they print to standard error is then part of their output.
	Terminal bool
	// Network lets all commands and services reach what the engine can reach.
	Network bool
	// Timeout bounds each test that has none of its own; 0: the request's.
	Timeout time.Duration

	// Services are started in this order before each command and each port test, in its container.
	Services []Service
	Commands []Command
	Contents []FileContent
	Files    []FileExistence
	Licenses []License
	Metadata *Metadata // nil: none
	Ports    []Port
}

// Variable is an environment variable, a label, or what one is expected to be.
type Variable struct {
	Key, Value string
	Pattern    *regexp.Regexp // in place of Value, when set
}

// Command is a command that is run in a container of its own.
type Command struct {
	Name           string
	Setup          [][]string // commands run before, in the same container; each must exit with 0
	Env            []Variable
	Command        string
	Args           []string
	ExitCode       int
	ExpectedOutput []*regexp.Regexp
	ExcludedOutput []*regexp.Regexp
	ExpectedError  []*regexp.Regexp
	ExcludedError  []*regexp.Regexp
	Network        bool          // as Suite.Network, for this test
	Timeout        time.Duration // 0: the suite's
}

// FileExistence is a file that is there, or is not. A symbolic link is not followed when it is the last part of the path.
type FileExistence struct {
	Name         string
	Path         string
	ShouldExist  bool
	Permissions  string // as Go prints them, "-rw-r--r--"; empty: any
	UID, GID     int    // -1: any
	ExecutableBy string // "owner", "group", "other", "any"; empty: not asked
}

// FileContent is what is in a file, and what is not.
type FileContent struct {
	Name     string
	Path     string
	Expected []*regexp.Regexp
	Excluded []*regexp.Regexp
}

// Metadata is what the image's configuration says.
type Metadata struct {
	Env              []Variable
	UnboundEnv       []string
	Labels           []Variable
	Entrypoint       *[]string // nil: any
	Cmd              *[]string // nil: any
	ExposedPorts     []string  // "8080"
	UnexposedPorts   []string
	Volumes          []string
	UnmountedVolumes []string
	WorkingDir       string // empty: any
	User             string // empty: any
}

// License is a list of licence files, none of which may hold a licence that container-structure-test forbids.
type License struct {
	Debian bool // the copyright file of every package below /usr/share/doc, too
	Files  []string
}

// Service is a process that runs while a test does.
type Service struct {
	Name    string
	Command string // empty: the image's own entrypoint and command
	Args    []string
	Env     []Variable
	User    string // empty: the suite's
	Ready   Ready
}

// Ready says when a service is ready. All that is set must hold; with nothing set, it is ready as soon as it was started.
type Ready struct {
	Port    int              // answers
	Output  []*regexp.Regexp // each is found in a line that it has printed
	Command []string         // exits with 0; it is run once, and waits itself for what it waits for
	Timeout time.Duration    // 0: the test's
}

// Port is a port that answers on 127.0.0.1 while the services run.
type Port struct {
	Name           string
	Port           int
	Send           string           // what is sent once it answers
	ExpectedOutput []*regexp.Regexp // what is to be found in what comes back
	Timeout        time.Duration    // 0: the suite's
}
