package discover_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/catalog"
	"rebuilder/internal/discover"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

func onlyForge(w *world)    { w.catalog.Discovery.Registries = nil }
func onlyRegistry(w *world) { w.catalog.Discovery.Organizations = nil }

func TestTagsComeAndGo(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	for _, tag := range []string{"1.8", "1.9", "main"} {
		w.push("web:"+tag, w.on(w.base))
	}
	w.complete()
	first := w.row("web:main")
	w.push("web:main", w.on(w.image(1)))
	w.push("web:1.10", w.on(w.base))
	w.untag("web:1.9")
	if got := w.complete()[w.registry.host()]; got.Changed != 1 || got.Found != 1 || got.Gone != 1 {
		t.Errorf("%+v", got)
	}
	w.expect(
		"base/debian:stable ? parent of linux/amd64 unknown: "+orphan,
		"web:1.10 <- base/debian inherits layers linux/amd64",
		"web:1.8 <- base/debian inherits layers linux/amd64",
		"web:1.9 <- base/debian inherits layers linux/amd64 gone",
		"web:main ? parent of linux/amd64 unknown: "+orphan,
	)
	if got := w.row("web:main"); got.FirstSeen != first.FirstSeen || got.ChangedAt <= first.ChangedAt || got.Digest == first.Digest {
		t.Errorf("moved from %+v to %+v", first, got)
	}
	w.push("web:1.9", w.on(w.base)) // it is back, and pushes 1.8 out of the newest two
	w.complete()
	if got := w.rows(); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "1.8") || strings.Contains(s, "gone") }) {
		t.Errorf("got %q", got)
	}
	w.untag("web:1.9")
	w.complete()
	must(store.Prune(t.Context(), w.store.Q(), w.now.Add(100*24*time.Hour).UnixMilli(), nil))
	if got := w.rows(); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "1.9") }) {
		t.Errorf("what is gone for long is kept: %q", got)
	}
}

// A list that leaves something out is no proof that it is gone.
func TestAShortListIsNoProof(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.complete()
	w.registry.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if hasSuffix(r.URL.Path, "/_catalog") {
			fmt.Fprint(rw, `{"repositories":["other/stranger"]}`)
			return true
		}
		return false
	})
	w.forge.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if hasSuffix(r.URL.Path, "/orgs/acme/repos") {
			rw.Header().Set("Content-Type", "application/json; charset=utf-8")
			fmt.Fprint(rw, `[]`)
			return true
		}
		return false
	})
	for place, p := range w.complete() {
		if p.Gone > 0 {
			t.Errorf("%s: %+v", place, p)
		}
	}
	w.expect(w.populated()...)
}

// Nothing is gone while a place cannot be walked to its end, and what was known stays.
func TestAnOutage(t *testing.T) {
	for name, code := range map[string]int{"failing": 500, "refusing": 403, "limiting": 429} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.populate()
			w.complete()
			down := func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" {
					return false
				}
				rw.WriteHeader(code)
				return true
			}
			w.registry.breakWith(down)
			w.forge.breakWith(down)
			before := w.rows()
			for range 5 {
				for _, p := range w.slice().Places {
					if p.Walked && (p.Complete || p.Gone > 0 || p.Problem == "" || !p.Next.After(w.now.Add(-time.Minute))) {
						t.Errorf("%+v", p)
					}
				}
			}
			w.expect(before...)
			h := w.heartbeat("acme")
			if code != 429 && (h.Error == "" || h.LastOK >= h.LastRun) {
				t.Errorf("heartbeat %+v", h)
			}
			w.registry.breakWith(nil)
			w.forge.breakWith(nil)
			w.complete()
			w.expect(w.populated()...)
		})
	}
}

// One repository that cannot be read does not keep the others from being found, and is not gone for that.
func TestARepositoryThatFails(t *testing.T) {
	for name, code := range map[string]int{"forbidden": 403, "broken": 500} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.populate()
			w.complete()
			w.repository("young", "Dockerfile", w.from())
			w.push("young:main", w.on(w.base))
			w.repository("secret", "Dockerfile", w.from())
			w.push("secret:main", w.on(w.base))
			fails := func(rw http.ResponseWriter, r *http.Request) bool {
				if hasSuffix(r.URL.Path, "/team/web/tags/list", "/acme/web/git/ref/heads/main", "/secret/tags/list", "/secret/git/ref/heads/main") {
					rw.WriteHeader(code)
					return true
				}
				return false
			}
			w.registry.breakWith(fails)
			w.forge.breakWith(fails)
			w.complete()
			rows := strings.Join(w.rows(), "\n")
			for _, want := range []string{"young:main <- base/debian", "acme/young <- base/debian", "team/web:main <- base/debian inherits layers linux/amd64 ? the last look at it failed", "acme/web <- base/debian", "acme/secret ? the last look at it failed: ", "secret ? the last look at it failed: "} {
				if !strings.Contains(rows, want) {
					t.Errorf("%q is missing in\n%s", want, rows)
				}
			}
			if strings.Contains(rows, "gone") {
				t.Errorf("got\n%s", rows)
			}
			for _, walk := range must(store.Walks(t.Context(), w.store.Q())) {
				if walk.Failed != 2 {
					t.Errorf("%+v", walk)
				}
			}
			w.registry.breakWith(nil)
			w.forge.breakWith(nil)
			w.complete()
			if rows := strings.Join(w.rows(), "\n"); strings.Contains(rows, "failed") || strings.Contains(rows, "secret\n") || strings.Count(rows, "secret") != 2 {
				t.Errorf("it is still unknown:\n%s", rows)
			}
		})
	}
}

func TestRepositoriesChange(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.populate()
	w.complete()
	old := w.row("acme/web")
	w.must(w.hub.RenameRepository("acme", "web", "shop"))
	w.must(w.hub.RemoveRepository("acme", "stranger"))
	w.must(w.hub.ArchiveRepository("acme", "shop"))
	w.complete()
	rows := w.populated()[6:]
	w.expect(rows[0], rows[1], "acme/shop <- base/debian inherits recipe Dockerfile:2 <- base/debian inherits recipe deploy/job.Dockerfile:1 (archived)", "acme/stranger gone")
	got := w.row("acme/shop")
	if got.Key != old.Key || got.FirstSeen != old.FirstSeen || !strings.Contains(got.Note, "archived") || !strings.Contains(got.Note, "was acme/web") {
		t.Errorf("renamed: %+v", got)
	}
	w.repository("web", "Dockerfile", "FROM scratch\n") // another one under the old name
	w.complete()
	if again := w.row("acme/web"); again.Key == old.Key || len(again.Parents) > 0 {
		t.Errorf("the new one: %+v", again)
	}
	w.must(w.hub.RemoveRepository("acme", "shop"))
	w.must(w.hub.AddRepository("acme", "shop", nil)) // a number that is not the old one's
	w.complete()
	if n := len(slices.DeleteFunc(w.rows(), func(s string) bool { return !strings.HasPrefix(s, "acme/shop") })); n != 2 {
		t.Errorf("%q", w.rows())
	}
}

// Of a repository that was renamed and cannot be read under its new name what was known is kept.
func TestARenamedRepositoryThatFails(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.populate()
	w.complete()
	old := w.row("acme/web")
	w.must(w.hub.RenameRepository("acme", "web", "shop"))
	w.code.pushed["acme/shop"] = w.now // so that it is read again
	w.forge.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if hasSuffix(r.URL.Path, "/acme/shop/git/ref/heads/main") {
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	w.complete()
	got := w.row("acme/shop")
	if got.Key != old.Key || len(got.Parents) != 2 || got.Digest != old.Digest || len(got.Detail.Files) != 2 || !strings.Contains(got.Unknown, "the last look at it failed") || got.ChangedAt != old.ChangedAt {
		t.Errorf("%+v", got)
	}
	w.forge.breakWith(nil)
	w.complete()
	if got := w.row("acme/shop"); got.Unknown != "" || !strings.Contains(got.Note, "was acme/web") {
		t.Errorf("%+v", got)
	}
}

// A repository that was renamed to what the patterns leave out is left out, though the forge leads on to it.
func TestARenameOutOfThePatterns(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.populate()
	w.catalog.Discovery.Include = []string{"acme/w*"}
	w.complete()
	w.expect(w.populated()[9])
	w.must(w.hub.RenameRepository("acme", "web", "shop"))
	w.code.moved = map[string]string{"acme/web": "acme/shop"}
	w.complete()
	w.expect()
}

// A push is seen, and of a commit only what is new is read.
func TestAPush(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.repository("web", "Dockerfile", w.from(), "b/Dockerfile", "FROM scratch\n")
	w.complete()
	w.now = w.now.Add(24 * time.Hour)
	w.code.pushed["acme/web"] = w.now.Add(-time.Hour)
	w.complete()
	w.forge.seen()
	w.complete()
	if seen := w.forge.seen(); len(seen) != 1 {
		t.Errorf("not pushed to since, and asked %q", seen)
	}
	w.code.pushed["acme/web"] = w.now.Add(-30 * time.Hour) // the forge heard of it late, or its clock is slow
	w.complete()
	if seen := w.forge.seen(); len(seen) != 2 {
		t.Errorf("pushed to at another time, and asked %q", seen)
	}
	w.code.pushed["acme/web"] = w.now
	w.complete()
	if seen := w.forge.seen(); len(seen) != 2 || !hasSuffix(seen[1], "/git/ref/heads/main") {
		t.Errorf("pushed to another branch, and asked %q", seen)
	}
	w.commit("web", "b/Dockerfile", "ARG X=1\n"+w.from())
	w.forge.seen()
	w.complete()
	seen := w.forge.seen()
	if blobs := slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return !strings.Contains(s, "/git/blobs/") }); len(blobs) != 1 {
		t.Errorf("one file changed, and asked %q", seen)
	}
	w.expect("acme/web <- base/debian inherits recipe Dockerfile:1 <- base/debian inherits recipe b/Dockerfile:2")
}

// commit puts a file on the main branch as a person does.
func (w *world) commit(repo, path, content string) {
	w.t.Helper()
	body := map[string]any{}
	call := func(method, path string, in, out any) {
		w.t.Helper()
		data, err := json.Marshal(in)
		w.must(err)
		req, err := http.NewRequest(method, w.forge.URL+"/api/v3/repos/acme/"+repo+path, strings.NewReader(string(data)))
		w.must(err)
		if method == "GET" {
			req.Body, req.ContentLength = nil, 0
		}
		req.Header.Set("Authorization", "Bearer secret")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		w.must(err)
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			w.t.Fatalf("%s %s: %s", method, path, resp.Status)
		}
		w.must(json.NewDecoder(resp.Body).Decode(out))
	}
	sha := func(o map[string]any) string { return o["sha"].(string) }
	call("GET", "/git/ref/heads/main", nil, &body)
	head := sha(body["object"].(map[string]any))
	var tree, commit, ref map[string]any
	call("POST", "/git/trees", map[string]any{"base_tree": head, "tree": []any{map[string]any{"path": path, "mode": "100644", "type": "blob", "content": content}}}, &tree)
	call("POST", "/git/commits", map[string]any{"message": "change", "tree": sha(tree), "parents": []string{head}}, &commit)
	call("PATCH", "/git/refs/heads/main", map[string]any{"sha": sha(commit)}, &ref)
}

// A tree that the forge breaks off is looked at directory by directory, and what is missing is said.
func TestATruncatedTree(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	files := []string{"Dockerfile", w.from(), "a/b/c/Dockerfile", w.from(), "vendor/x/Dockerfile", w.from()}
	w.repository("large", files...)
	for i := range 40 {
		files = append(files, fmt.Sprintf("dir%02d/x/y", i), "x")
	}
	w.repository("larger", files...)
	w.forge.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("recursive") {
			return false
		}
		whole := httptest.NewRecorder()
		w.hub.ServeHTTP(whole, r)
		var tree map[string]any
		w.must(json.Unmarshal(whole.Body.Bytes(), &tree))
		tree["truncated"], tree["tree"] = true, tree["tree"].([]any)[:1]
		rw.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.must(json.NewEncoder(rw).Encode(tree))
		return true
	})
	w.complete()
	w.expect(
		"acme/large <- base/debian inherits recipe Dockerfile:1 <- base/debian inherits recipe a/b/c/Dockerfile:1",
		"acme/larger <- base/debian inherits recipe Dockerfile:1 ? the repository is too large for the forge to list: 30 of its directories were looked at, and deeper ones were not",
	)
}

func TestRateLimits(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.populate()
	until := w.now.Add(42 * time.Minute).Truncate(time.Second)
	for name, answer := range map[string]func(http.ResponseWriter){
		"primary": func(rw http.ResponseWriter) {
			rw.Header().Set("X-RateLimit-Remaining", "0")
			rw.Header().Set("X-RateLimit-Reset", fmt.Sprint(until.Unix()))
			rw.WriteHeader(http.StatusTooManyRequests)
		},
		"secondary": func(rw http.ResponseWriter) {
			rw.Header().Set("Retry-After", "2520")
			rw.WriteHeader(http.StatusTooManyRequests)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.fresh()
			began := w.now
			w.forge.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
				if hasSuffix(r.URL.Path, "/git/ref/heads/main") {
					answer(rw)
					return true
				}
				return false
			})
			w.forge.seen()
			report := w.slice()
			if p := report.Places[0]; p.Problem == "" || p.Next.Before(until.Add(-time.Minute)) {
				t.Errorf("%+v", p)
			}
			if seen := w.forge.seen(); len(seen) != 2 {
				t.Errorf("asked %q after the limit", seen)
			}
			if h := w.heartbeat("acme"); h.Error != "" || h.LastOK == 0 {
				t.Errorf("a limit is no error: %+v", h)
			}
			w.forge.breakWith(nil)
			w.login() // the client holds on to the limit by a clock that is not ours
			w.complete()
			w.expect(w.populated()[6:]...)
			w.now = began
		})
	}
}

// When less than half is left of what the forge grants, it is for pull requests.
func TestPullRequestsComeFirst(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.populate()
	reset := w.now.Add(time.Hour)
	w.code.rate = notify.Rate{Limit: 5000, Remaining: 2499, Reset: reset}
	p := w.slice().Places[0]
	if !p.Next.Equal(time.UnixMilli(reset.UnixMilli())) || p.Requests > 4 || !strings.Contains(p.Problem, "pull requests") {
		t.Errorf("%+v", p)
	}
	w.code.rate.Remaining = 2500
	w.complete()
	w.expect(w.populated()[6:]...)
}

func noCatalog(rw http.ResponseWriter, r *http.Request) bool {
	if hasSuffix(r.URL.Path, "/_catalog") {
		rw.WriteHeader(http.StatusNotFound)
		return true
	}
	return false
}

// GHCR has no catalog: the forge lists an organization's packages.
func TestPackagesOfTheForge(t *testing.T) {
	w := newWorld(t)
	w.registry.breakWith(noCatalog)
	w.push("acme/web:latest", w.on(w.base))
	w.push("acme/team/job:latest", w.on(w.base))
	w.push("other/x:latest", w.on(w.base))
	w.must(w.hub.AddRepository("acme", "code", nil))
	for _, p := range []string{"Web", "team/job", "none"} {
		w.must(w.hub.AddPackage("acme", p))
	}
	w.catalog.Discovery.Registries = []string{w.registry.host()}
	if p := w.slice().Places[0]; !strings.Contains(p.Problem, "one by one") {
		t.Errorf("%+v", p)
	}
	w.config.PackageHosts = []string{w.registry.host()}
	w.complete()
	w.expect("acme/team/job:latest <- base/debian inherits layers linux/amd64", "acme/web:latest <- base/debian inherits layers linux/amd64", "acme/code")

	w.config.PackageHosts = nil
	w.catalog.Discovery = discoveryOf(w.registry.host() + "/other/x")
	w.complete()
	w.expect("other/x:latest <- base/debian inherits layers linux/amd64")
}

func TestPatterns(t *testing.T) {
	w := newWorld(t)
	w.populate()
	w.complete()
	w.catalog.Discovery.Include = []string{"team/*", "acme/*"}
	w.catalog.Discovery.Exclude = []string{"*/multi", "acme/[^w]*"}
	w.complete()
	w.expect("team/web:main <- base/debian inherits layers linux/amd64", "team/web:v1.2 <- base/debian inherits layers linux/amd64", w.populated()[9])
	w.catalog.Discovery.Include, w.catalog.Discovery.Exclude = nil, nil
	w.catalog.Discovery.Registries = []string{w.registry.host() + "/team"}
	w.catalog.Discovery.Organizations = nil
	w.complete()
	w.expect(w.populated()[3:6]...)
	w.catalog.Discovery = discoveryOf()
	report, err := w.discoverer().Run(t.Context(), w.catalog)
	if err != nil || len(report.Places) > 0 || !report.Next.IsZero() || len(w.rows()) > 0 {
		t.Errorf("off: %+v, %v, %q", report, err, w.rows())
	}
	if h, err := store.Watchers(t.Context(), w.store.Q()); err != nil || len(h) > 0 {
		t.Errorf("heartbeats of what nobody walks: %+v, %v", h, err)
	}
}

// What was found is judged anew, without a request, when an inventory is read or the catalog changes.
func TestJudgedAnew(t *testing.T) {
	w := newWorld(t)
	young := w.image(3)
	w.push("web:main", w.on(young))
	w.repository("web", "Dockerfile", "FROM "+w.registry.host()+"/base/java:17\n")
	w.repository("hidden", "Dockerfile", w.from())
	w.complete()
	w.now = w.now.Add(-time.Minute) // nothing is due
	w.seen()
	d := w.discoverer()
	run := func(judged int) {
		t.Helper()
		report, err := d.Run(t.Context(), w.catalog)
		w.must(err)
		if report.Places[0].Walked || report.Places[1].Walked || w.seen() > 0 {
			t.Errorf("it asked: %+v", report)
		}
		if report.Judged != judged || report.News() != (judged > 0) {
			t.Errorf("%d rows mean something else, want %d", report.Judged, judged)
		}
	}
	w.registry.breakWith(nil)
	run(0)
	w.read("base/java", young)
	run(0)
	java := []string{"acme/hidden <- base/debian inherits recipe Dockerfile:1", "acme/web"}
	if got := w.row("web:main"); len(got.Parents) > 0 || got.Unknown == "" {
		t.Errorf("the catalog has no base/java, and yet %+v", got)
	}
	w.catalog.Bases = append(w.catalog.Bases, catalog.Base{Name: "base/java", Image: w.registry.host() + "/base/java", Channel: "stable"})
	w.catalog.SHA256 = "2"
	run(2)
	run(0)
	w.expect("base/debian:stable ? parent of linux/amd64 unknown: "+orphan, "web:main <- base/java inherits layers linux/amd64", java[0],
		`acme/web <- base/java inherits recipe Dockerfile:1 ? Dockerfile:1 names base/java by "`+w.registry.host()+`/base/java:17", which is not the tag that it moves`)
}

func TestWithoutAForge(t *testing.T) {
	w := newWorld(t)
	d, err := discover.New(discover.Config{Registry: w.images, Store: w.store, Now: func() time.Time { return w.now }})
	w.must(err)
	report, err := d.Run(t.Context(), w.catalog)
	w.must(err)
	if p := report.Places[1]; !strings.Contains(p.Problem, "[forge]") || w.heartbeat("acme").Error == "" {
		t.Errorf("%+v", p)
	}
	if !report.Places[0].Complete {
		t.Errorf("%+v", report.Places[0])
	}
}

func TestHostileRegistry(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	w.push("web:main", w.on(w.base))
	lists := `{"repositories":["web","../x","a//b","A","","` + strings.Repeat("a", 300) + `","\u0000","a\nb","x?y"]}`
	w.registry.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case hasSuffix(r.URL.Path, "/_catalog"):
			fmt.Fprint(rw, lists)
		case hasSuffix(r.URL.Path, "/web/tags/list"):
			fmt.Fprint(rw, `{"tags":["main","../../x","a b","`+strings.Repeat("a", 129)+`","latest"]}`)
		case hasSuffix(r.URL.Path, "/web/manifests/latest"):
			rw.Header().Set("Content-Type", string(types.OCIImageIndex))
			rw.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("1", 64))
			rw.Header().Set("Content-Length", "2")
		case strings.Contains(r.URL.Path, "/web/manifests/sha256:1111"):
			rw.Header().Set("Content-Type", string(types.OCIImageIndex))
			fmt.Fprint(rw, "{}") // not what its digest says
		default:
			return false
		}
		return true
	})
	w.complete()
	rows := w.rows()
	if len(rows) != 2 || !strings.Contains(rows[0], "web:latest ? what it is made of: ") || rows[1] != "web:main <- base/debian inherits layers linux/amd64" {
		t.Errorf("got %q", rows)
	}
	if walk := must(store.Walks(t.Context(), w.store.Q()))[0]; walk.Refused != 8+3 {
		t.Errorf("%d names were refused", walk.Refused)
	}
	lists = `{"repositories":["web"` // cut off
	for range 4 {
		if p := w.slice().Places[0]; p.Complete || p.Problem == "" {
			t.Errorf("%+v", p)
		}
	}
	w.expect(rows...)
}

func TestHostileForge(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.repository("web", "Dockerfile", w.from())
	w.complete()
	web := w.row("acme/web")
	for _, name := range []string{"", "acme", "acme/", "/x", "acme/..", "acme/.", "../x", "a/b/c", "acme/x?y", "acme/x y", "acme/x%2f", "acme/" + strings.Repeat("a", 300)} {
		w.code.more = append(w.code.more, notify.Listed{ID: 1, Name: name, Branch: "main"})
	}
	w.code.more = append(w.code.more, notify.Listed{Name: "acme/no-number"}, notify.Listed{ID: 77, Name: "acme/.github", Branch: "../../x"},
		notify.Listed{ID: web.Detail.ID, Name: "acme/again", Branch: "main"})
	w.complete()
	rows := strings.Join(w.rows(), "\n")
	if walk := must(store.Walks(t.Context(), w.store.Q()))[0]; walk.Refused != 13 {
		t.Errorf("%d names were refused:\n%s", walk.Refused, rows)
	}
	if !strings.Contains(rows, `acme/.github ? the last look at it failed: its default branch "../../x"`) {
		t.Errorf("got\n%s", rows)
	}
	w.code.more = nil
	w.complete()
	w.expect(`acme/.github ? the last look at it failed: its default branch "../../x" has a name that git does not allow gone`, "acme/web <- base/debian inherits recipe Dockerfile:1")
}

// A forge under another name is another forge: what was found before is let go, and the walk ends.
func TestAnotherForge(t *testing.T) {
	w := newWorld(t)
	onlyForge(w)
	w.repository("web", "Dockerfile", w.from())
	w.complete()
	old := w.row("acme/web")
	w.catalog.Forge.URL = "https://other.example/api/v3"
	w.complete()
	all := must(store.ObservedAll(t.Context(), w.store.Q()))
	if len(all) != 1 || all[0].Name != "other.example/acme/web" || all[0].Key == old.Key {
		t.Errorf("%+v", all)
	}
}

// A cursor that a registry does not know any more lets the walk begin again.
func TestACursorThatEnds(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	w.populate()
	broken := true
	w.registry.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if broken && hasSuffix(r.URL.Path, "/_catalog") && r.URL.Query().Has("last") {
			rw.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	})
	for range 3 {
		w.slice()
	}
	broken = false
	w.complete()
	w.expect(w.populated()[:6]...)
	if walk := must(store.Walks(t.Context(), w.store.Q()))[0]; walk.Number != 1 {
		t.Errorf("%+v", walk)
	}
}

// A list that goes round in a circle is said at once, and read when it is mended.
func TestAListInACircle(t *testing.T) {
	w := newWorld(t)
	onlyRegistry(w)
	w.populate()
	w.registry.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if hasSuffix(r.URL.Path, "/_catalog") && r.URL.Query().Has("last") {
			rw.Header().Set("Link", "<"+r.URL.RequestURI()+`>; rel="next"`)
			fmt.Fprint(rw, `{"repositories":["team/web"]}`)
			return true
		}
		return false
	})
	for range 4 {
		if p := w.slice().Places[0]; p.Complete || p.Requests > 10 || !strings.Contains(p.Problem, "leads to itself") || w.heartbeat(p.Place).Error == "" {
			t.Errorf("%+v", p)
		}
	}
	w.registry.breakWith(nil)
	w.complete()
	w.expect(w.populated()[:6]...)
}

var _ discover.Forge = (*lister)(nil)
