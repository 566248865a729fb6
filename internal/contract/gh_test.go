package contract

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"
)

// terminal is where a person works with git and gh at the demo's forge.
type terminal struct {
	t     *testing.T
	forge *forge.Forge
	host  string // "127.0.0.1:8443"
	home  string
	tree  string // a clone
}

// openTerminal starts a forge by HTTPS, which gh insists on, with a clone of its repository. GraphQL is judged by the
// schema, the rest is not: gh asks for much that nothing of ours asks for.
func openTerminal(t *testing.T) *terminal {
	t.Helper()
	if _, err := exec.LookPath("gh"); err != nil {
		needed(t, "gh")
	}
	server := httptest.NewUnstartedServer(nil)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	x := &terminal{t: t, host: "127.0.0.1:" + port, home: t.TempDir()}
	var err error
	x.forge, err = forge.New(forge.Config{Dir: t.TempDir(), BaseURL: "https://" + x.host, Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	x.forge.AddUser("person", personToken)
	content := map[string][]byte{}
	for path, text := range files {
		content[path] = []byte(text)
	}
	x.must(x.forge.AddRepository(organization, "web", content))
	server.Config.Handler = http.Handler(x.forge)
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		_ = x.forge.Close()
	})
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	x.must(os.WriteFile(filepath.Join(x.home, "ca.pem"), authority, 0o600))
	x.tree = filepath.Join(x.home, "web")
	x.run(x.home, "git", "clone", "-q", "https://"+x.host+"/"+repository+".git", "web")
	return x
}

func (x *terminal) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// run runs a program as a person at this forge would, without prompts and settings of the machine.
func (x *terminal) run(dir, program string, args ...string) string {
	x.t.Helper()
	cmd := exec.CommandContext(x.t.Context(), program, args...)
	cmd.Dir = dir
	authority := filepath.Join(x.home, "ca.pem")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + x.home, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_SSL_NO_VERIFY=1",
		"GIT_AUTHOR_NAME=person", "GIT_AUTHOR_EMAIL=person@example.com", "GIT_COMMITTER_NAME=person", "GIT_COMMITTER_EMAIL=person@example.com",
		"GH_HOST=" + x.host, "GH_ENTERPRISE_TOKEN=" + personToken, "SSL_CERT_FILE=" + authority, "GH_NO_UPDATE_NOTIFIER=1", "NO_COLOR=1",
	}
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		x.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, problem.String())
	}
	return strings.TrimSpace(out.String())
}

// gh is told the repository: it does not find it by a remote whose host has a port.
func (x *terminal) gh(args ...string) string {
	x.t.Helper()
	if args[0] == "pr" {
		args = append(args, "-R", x.host+"/"+repository)
	}
	return x.run(x.tree, "gh", args...)
}

// branch pushes a branch with one file.
func (x *terminal) branch(name string) {
	x.t.Helper()
	x.run(x.tree, "git", "checkout", "-q", "-B", name, "origin/main")
	x.must(os.WriteFile(filepath.Join(x.tree, name+".txt"), []byte(name+"\n"), 0o644))
	x.run(x.tree, "git", "add", "-A")
	x.run(x.tree, "git", "commit", "-q", "-m", "Add "+name)
	push := strings.Replace("https://"+x.host+"/"+repository+".git", "https://", "https://x:"+personToken+"@", 1)
	x.run(x.tree, "git", "push", "-q", push, name)
	x.run(x.tree, "git", "fetch", "-q", "origin")
}

// G5: a program made for GitHub works on the demo's forge, and git shows what it did.
func TestG5GhWorksOnTheForge(t *testing.T) {
	x := openTerminal(t)
	x.must(x.forge.AllowAutoMerge(organization, "web", true))
	x.must(x.forge.Protect(organization, "web", "main", &forge.Protection{Checks: []string{"build"}}))

	if got := x.gh("repo", "view", repository, "--json", "nameWithOwner,defaultBranchRef", "--jq", ".nameWithOwner+\" \"+.defaultBranchRef.name"); got != repository+" main" {
		t.Errorf("repo view: %s", got)
	}
	x.branch("topic")
	url := x.gh("pr", "create", "--title", "Update base", "--body", "Why.", "--head", "topic", "--base", "main")
	if !strings.HasSuffix(url, "/acme/web/pull/1") {
		t.Errorf("pr create: %s", url)
	}
	if got := x.gh("pr", "list", "--json", "number,title,headRefName", "--jq", `.[]|"\(.number) \(.title) \(.headRefName)"`); got != "1 Update base topic" {
		t.Errorf("pr list: %s", got)
	}
	var seen struct {
		State, MergeStateStatus, HeadRefOid string
		Files                               []struct{ Path string }
		Commits                             []any
	}
	x.must(json.Unmarshal([]byte(x.gh("pr", "view", "1", "--json", "state,mergeStateStatus,headRefOid,files,commits")), &seen))
	head := x.run(x.tree, "git", "rev-parse", "HEAD")
	if seen.State != "OPEN" || seen.MergeStateStatus != "BLOCKED" || seen.HeadRefOid != head || len(seen.Files) != 1 || len(seen.Commits) != 1 {
		t.Errorf("pr view: %+v", seen)
	}
	x.gh("pr", "merge", "1", "--auto", "--squash")
	x.gh("api", "-X", "POST", "repos/"+repository+"/statuses/"+head, "-f", "state=success", "-f", "context=build")
	if got := x.gh("pr", "view", "1", "--json", "state", "--jq", ".state"); got != "MERGED" {
		t.Errorf("the check is green: %s", got)
	}
	x.run(x.tree, "git", "fetch", "-q", "origin")
	if got := x.run(x.tree, "git", "log", "--format=%s|%cn|%P", "-1", "origin/main"); !strings.HasPrefix(got, "Update base (#1)|GitHub|") || strings.Count(got, " ") != 2 {
		t.Errorf("main's last commit: %s", got)
	}
	if got := x.run(x.tree, "git", "show", "origin/main:topic.txt"); got != "topic" {
		t.Errorf("topic.txt on main: %s", got)
	}

	x.branch("second")
	x.gh("pr", "create", "--title", "Second", "--body", "", "--head", "second", "--base", "main")
	x.gh("pr", "comment", "2", "--body", "not this one")
	x.gh("pr", "close", "2")
	if got := x.gh("pr", "list", "--state", "all", "--json", "number,state", "--jq", `.[]|"\(.number) \(.state)"`); got != "2 CLOSED\n1 MERGED" {
		t.Errorf("all pull requests: %s", got)
	}
	x.documents()
}

// documents holds what gh asked against GitHub's schema, and what it was told against what it asked (G2).
func (x *terminal) documents() {
	x.t.Helper()
	all := x.forge.Documents()
	if len(all) < 8 {
		x.t.Errorf("gh sent %d GraphQL documents: it proves little", len(all))
	}
	for _, d := range all {
		if err := forge.CheckDocument(d.Query); err != nil {
			x.t.Errorf("%v in\n%s", err, d.Query)
		}
	}
	for field, n := range x.forge.Unresolved() {
		x.t.Errorf("%s was asked for %d times and is not answered", field, n)
	}
}
