package observe_test

import (
	"context"
	"path"
	"strings"
	"testing"

	"rebuilder/internal/notify"
)

// listed is a forge that lists a commit, and counts what it is asked.
type listed struct {
	forge
	asked map[string]int
}

func (l listed) ReadFile(ctx context.Context, repo, commit, name string) ([]byte, error) {
	l.asked[name]++
	return l.forge.ReadFile(ctx, repo, commit, name)
}

// Tree lists the root of a repository by its commit, and a directory by its name.
func (l listed) Tree(_ context.Context, repo, sha string, _ bool) (t notify.Tree, err error) {
	l.asked["a tree"]++
	dir, seen := ".", map[string]bool{}
	if !strings.HasPrefix(sha, "c0ffee") {
		dir = sha
	}
	for k := range l.forge {
		name, ok := strings.CutPrefix(k, repo+"/")
		switch top, _, below := strings.Cut(name, "/"); {
		case !ok:
		case path.Dir(name) == dir:
			t.Entries = append(t.Entries, notify.TreeEntry{Path: path.Base(name), Kind: notify.RegularFile})
		case dir == "." && below && !seen[top]:
			seen[top] = true
			t.Entries = append(t.Entries, notify.TreeEntry{Path: top, Kind: notify.Directory, SHA: top})
		}
	}
	return t, nil
}

func TestOtherBots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.twoBases()
	const unknown, keeps = `{"extends": ["local>acme/renovate"]}`, "updates: [{package-ecosystem: docker, directory: /}]"
	for _, x := range []struct {
		name, file, config, keys string
		left                     bool
		bots                     int
	}{
		{"none", "README.md", "", "", false, 0},
		{"yield is the default", "renovate.json", `{}`, "", true, 1},
		{"in a directory", ".github/dependabot.yml", keeps, "", true, 1},
		{"one that leaves it", "renovate.json", `{"enabled": false}`, "", false, 0},
		{"what is not known is not left", "renovate.json", unknown, "", false, 1},
		{"warn", "renovate.json", `{}`, "[application.proposals]\nwith_bots = \"warn\"\n", false, 1},
		{"take over", ".github/dependabot.yml", keeps, "[application.proposals]\nwith_bots = \"take-over\"\n", false, 1},
		{"nobody is told by a pull request", "renovate.json", `{}`, "strategy = \"observe\"\n", false, 0},
	} {
		files := forge{"acme/web/Dockerfile": "FROM " + w.host + "/base/debian:stable\n", "acme/web/" + x.file: x.config}
		for name, f := range map[string]notify.Forge{"read": files, "listed": listed{files, map[string]int{}}} {
			w.obs.Forge = f
			a := w.look(w.catalog(twoBases + oneApplication + x.keys)).Facts.Applications["web"]
			if a.Problem != "" || len(a.References) != 1 {
				t.Fatalf("%s, %s: %+v", x.name, name, a)
			}
			if r := a.References[0]; r.Left != x.left || r.Rewritable == x.left || len(r.Bots) != x.bots || x.left != strings.HasPrefix(r.Why, "is kept up to date by ") {
				t.Errorf("%s, %s: %+v", x.name, name, r)
			}
		}
	}
}

// What is not there is not asked for, and what is there once a commit.
func TestOtherBotsAreReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.twoBases()
	f := listed{forge{"acme/web/Dockerfile": "FROM " + w.host + "/base/debian:stable\n", "acme/web/.github/renovate.json": `{}`, "acme/web/src/renovate.json": "{}"}, map[string]int{}}
	w.obs.Forge = f
	c := w.catalog(twoBases + oneApplication)
	for range 2 {
		w.look(c)
	}
	if len(f.asked) != 3 || f.asked["a tree"] != 2 || f.asked[".github/renovate.json"] != 1 {
		t.Errorf("asked for %v", f.asked)
	}
}
