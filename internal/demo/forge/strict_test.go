package forge_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/demo/forge"

	"github.com/google/go-github/v57/github"
)

// clock is one that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// ask sends a request past the record, as the user of a token.
func (w *world) ask(token, method, path, body string) *httptest.ResponseRecorder {
	w.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	w.forge.ServeHTTP(answer, req)
	return answer
}

func (w *world) want(status int, answer *httptest.ResponseRecorder) {
	w.t.Helper()
	if answer.Code != status {
		w.t.Fatalf("answered %d, want %d: %s", answer.Code, status, answer.Body)
	}
}

// branchWithChange makes a branch on main that changes a file, and returns its head.
func (w *world) branchWithChange(branch string) string {
	w.t.Helper()
	main, _, err := w.client.Git.GetRef(w.t.Context(), "acme", "web", "heads/main")
	w.must(err)
	w.call("POST", "/git/refs", map[string]string{"ref": "refs/heads/" + branch, "sha": main.GetObject().GetSHA()})
	return w.commitTo(branch, branch+".txt")
}

func (w *world) commitTo(branch, path string) string {
	w.t.Helper()
	made, _, err := w.client.Repositories.CreateFile(w.t.Context(), "acme", "web", path, &github.RepositoryContentFileOptions{
		Message: github.String("change " + path), Content: []byte(path), Branch: &branch,
	})
	w.must(err)
	return made.GetSHA()
}

func TestLimitsOnAClock(t *testing.T) {
	const write = `{"content":"a"}`
	for name, c := range map[string]struct {
		limits forge.Limits
		reads  int
		writes int
		pace   time.Duration // between writes
		// what the next write is answered, when it goes through, and what it does afterwards
		status  int
		wait    time.Duration
		primary bool
	}{
		"the primary limit, until its hour is over": {
			limits: forge.Limits{PerHour: 10}, reads: 9, writes: 1, status: 403, wait: time.Hour, primary: true,
		},
		"writes in a minute": {limits: forge.Limits{ContentPerMinute: 8}, writes: 8, status: 403, wait: time.Minute},
		"writes in an hour": {
			limits: forge.Limits{ContentPerHour: 30}, writes: 30, pace: time.Minute, status: 403, wait: 30 * time.Minute,
		},
		"points in a minute, five for a write": {limits: forge.Limits{PointsPerMinute: 22}, reads: 12, writes: 2, status: 403, wait: time.Minute},
		"nothing is limited":                   {reads: 50, writes: 50, status: 201},
		"below all limits":                     {limits: forge.GitHubLimits(), reads: 80, writes: 79, status: 201},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			w := start(t, t.TempDir(), func(cfg *forge.Config) { cfg.Now, cfg.Limits, cfg.Ephemeral = clock.now, c.limits, true })
			for range c.reads {
				w.want(200, w.ask("secret-ci", "GET", "/rate_limit", ""))
			}
			for range c.writes {
				w.want(201, w.ask("secret-ci", "POST", "/repos/acme/web/labels", fmt.Sprintf(`{"name":%q}`, clock.now().String()+t.Name()+fmt.Sprint(w.forge.Usage("ci").Writes))))
				clock.pass(c.pace)
			}
			answer := w.ask("secret-ci", "POST", "/repos/acme/web/git/blobs", write)
			w.want(c.status, answer)
			if c.status != 403 {
				return
			}
			if remaining := answer.Header().Get("X-RateLimit-Remaining"); (remaining == "0") != c.primary {
				t.Errorf("%s calls remain, primary is %v", remaining, c.primary)
			}
			if after := answer.Header().Get("Retry-After"); (after == "") != c.primary {
				t.Errorf("Retry-After %q, primary is %v", after, c.primary)
			}
			clock.pass(c.wait - time.Second)
			w.want(403, w.ask("secret-ci", "POST", "/repos/acme/web/git/blobs", write))
			clock.pass(time.Second)
			w.want(201, w.ask("secret-ci", "POST", "/repos/acme/web/git/blobs", write))
			if got := w.forge.Usage("ci"); got.Writes != c.writes+1 || got.RefusedByPrimary+got.RefusedBySecondary != 2 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

// go-github knows the refusals for what they are.
func TestRefusalsAreGitHubs(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	fail := func(trouble forge.Trouble) error {
		w.forge.Fail(forge.Fault{Trouble: trouble, On: "GET /user", Delay: 90 * time.Second})
		_, _, err := w.as("secret-ci").Users.Get(t.Context(), "")
		return err
	}
	if err, is := fail(forge.Primary).(*github.RateLimitError); !is || time.Until(err.Rate.Reset.Time) > 91*time.Second {
		t.Errorf("primary: %v", err)
	}
	if err, is := fail(forge.Secondary).(*github.AbuseRateLimitError); !is || err.GetRetryAfter() != 90*time.Second {
		t.Errorf("secondary: %v", err)
	}
	if err, is := fail(forge.SecondaryBare).(*github.AbuseRateLimitError); !is || err.Response.Header.Get("Retry-After") != "" {
		t.Errorf("secondary without Retry-After: %v", err)
	}
	if err, is := fail(forge.TooMany).(*github.ErrorResponse); !is || err.Response.StatusCode != 429 || err.Response.Header.Get("Retry-After") != "90" {
		t.Errorf("429: %v", err)
	}
}

func TestTroubles(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	labels := "/repos/acme/web/labels"
	there := func(name string) bool {
		return w.ask("secret-ci", "GET", labels+"/"+name, "").Code == 200
	}
	create := func(name string) *httptest.ResponseRecorder {
		return w.ask("secret-ci", "POST", labels, `{"name":"`+name+`"}`)
	}
	for _, c := range []struct {
		trouble forge.Trouble
		status  int
		done    bool
	}{
		{forge.BadGateway, 502, false}, {forge.AfterEffect, 502, true}, {forge.ServerError, 500, false},
		{forge.Primary, 403, false}, {forge.TooManyBare, 429, false}, {forge.ReadOnly, 403, false}, {forge.TokenExpired, 401, false},
		{forge.Slow, 201, true},
	} {
		name := strings.ReplaceAll(string(c.trouble), " ", "-")
		w.forge.Fail(forge.Fault{Trouble: c.trouble, On: "POST /repos/{owner}/{repo}/labels", Delay: time.Millisecond})
		if got := create(name); got.Code != c.status || there(name) != c.done {
			t.Errorf("%s: %d, done %v", c.trouble, got.Code, there(name))
		}
		if got := create(name + "-again"); got.Code != 201 {
			t.Errorf("after %s: %d", c.trouble, got.Code)
		}
	}
	w.forge.Fail(forge.Fault{Trouble: forge.BadGateway, Path: "/labels", Skip: 1, Times: 2})
	var got []int
	for range 4 {
		got = append(got, w.ask("secret-ci", "GET", labels, "").Code)
	}
	if fmt.Sprint(got) != "[200 502 502 200]" {
		t.Errorf("two after one: %v", got)
	}
	if n := w.forge.Happened()[forge.BadGateway]; n != 3 {
		t.Errorf("bad gateways counted: %d", n)
	}
}

func TestAnAnswerCutInTheMiddle(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.forge.Fail(forge.Fault{Trouble: forge.Cut, On: "GET /user"})
	if _, _, err := w.client.Users.Get(t.Context(), ""); err == nil {
		t.Error("nothing was cut")
	}
	if _, _, err := w.client.Users.Get(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestAStaleReadAfterAWrite(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.forge.Fail(forge.Fault{Trouble: forge.Stale, Path: "/labels", Skip: 2}) // the first read and the write are spared
	read := func() string { return w.ask("secret-ci", "GET", "/repos/acme/web/labels", "").Body.String() }
	if before := read(); before != "[]" {
		t.Fatalf("at first: %s", before)
	}
	w.want(201, w.ask("secret-ci", "POST", "/repos/acme/web/labels", `{"name":"new"}`))
	if got := read(); got != "[]" {
		t.Errorf("not stale: %s", got)
	}
	if got := read(); !strings.Contains(got, "new") {
		t.Errorf("still stale: %s", got)
	}
}

// The same seed and the same requests have the same troubles.
func TestSeededFaults(t *testing.T) {
	run := func(seed uint64) string {
		w := start(t, t.TempDir(), func(c *forge.Config) {
			c.Faults, c.Ephemeral = forge.Faults{Seed: seed, Rate: 0.3, Kinds: []forge.Trouble{forge.BadGateway, forge.TooMany}}, true
		})
		var got []int
		for range 100 {
			got = append(got, w.ask("secret-ci", "GET", "/user", "").Code)
		}
		return fmt.Sprint(got)
	}
	one := run(1)
	if again := run(1); one != again {
		t.Errorf("the same seed:\n%s\n%s", one, again)
	}
	if run(2) == one {
		t.Error("another seed has the same troubles")
	}
	if bad := strings.Count(one, "502") + strings.Count(one, "429"); bad < 15 || bad > 45 {
		t.Errorf("%d of 100 failed at a rate of 30 %%", bad)
	}
}

func TestAProtectedBranch(t *testing.T) {
	w := start(t, t.TempDir(), func(c *forge.Config) { c.Asynchronous = true })
	w.forge.AddUser("owner", "secret-owner")
	w.must(w.forge.SetRole("acme", "web", "ci", "write"))
	w.must(w.forge.Protect("acme", "web", "main", &forge.Protection{Checks: []string{"build"}, Reviews: 1, UpToDate: true, DismissStale: true}))
	head := w.branchWithChange("topic")
	pr := w.open("topic").GetNumber()
	state := func() string {
		t.Helper()
		if p := w.pull(pr); p.Mergeable != nil {
			return p.GetMergeableState()
		}
		return w.pull(pr).GetMergeableState() // unknown the first time
	}
	refused := func(why string) {
		t.Helper()
		_, resp, err := w.client.PullRequests.Merge(t.Context(), "acme", "web", pr, "", nil)
		if err == nil || resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(err.Error(), why) {
			t.Errorf("merged, or refused otherwise than by %q: %v", why, err)
		}
	}
	build := func(sha, conclusion string) {
		t.Helper()
		_, _, err := w.client.Checks.CreateCheckRun(t.Context(), "acme", "web", github.CreateCheckRunOptions{Name: "build", HeadSHA: sha, Conclusion: &conclusion})
		w.must(err)
	}
	approve := func() {
		t.Helper()
		w.want(200, w.ask("secret-owner", "POST", fmt.Sprintf("/repos/acme/web/pulls/%d/reviews", pr), `{"event":"APPROVE"}`))
	}
	if p := w.pull(pr); p.Mergeable == nil {
		if w.pull(pr).Mergeable == nil {
			t.Error("mergeability stays unknown")
		}
	}
	if got := state(); got != "blocked" {
		t.Errorf("without anything: %s", got)
	}
	refused(`"build" is expected`)
	build(head, "failure")
	refused(`"build" is failing`)
	build(head, "success")
	refused("approving review")
	approve()
	if got := state(); got != "clean" {
		t.Errorf("with all: %s", got)
	}
	head = w.commitTo("topic", "more.txt")
	build(head, "success")
	refused("approving review") // the approval was for the old head
	approve()
	w.want(201, w.ask("secret-owner", "PUT", "/repos/acme/web/contents/other.txt", `{"message":"x","content":"eA==","branch":"main"}`))
	if got := state(); got != "behind" {
		t.Errorf("the base moved: %s", got)
	}
	refused("out of date")
	w.want(409, w.ask("secret-ci", "PUT", "/repos/acme/web/contents/direct.txt", `{"message":"x","content":"eA==","branch":"main"}`))
}

const enable = `mutation($id:ID!,$head:GitObjectID){enablePullRequestAutoMerge(input:{pullRequestId:$id,expectedHeadOid:$head,mergeMethod:SQUASH}){pullRequest{number autoMergeRequest{enabledAt}}}}`

// graph sends a document and returns the data and the first error.
func (w *world) graph(query string, variables map[string]any) (map[string]any, string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	w.must(err)
	answer := w.ask("secret-ci", "POST", "/api/graphql", string(body))
	w.want(200, answer)
	var out struct {
		Data   map[string]any
		Errors []struct{ Message string }
	}
	w.must(json.Unmarshal(answer.Body.Bytes(), &out))
	if len(out.Errors) > 0 {
		return out.Data, out.Errors[0].Message
	}
	return out.Data, ""
}

func TestAutoMerge(t *testing.T) {
	clock := newClock()
	w := start(t, t.TempDir(), func(c *forge.Config) { c.Now = clock.now })
	w.must(w.forge.Script("acme", "web", forge.Job{Name: "build", Conclusion: "success", After: 5 * time.Minute}))
	head := w.branchWithChange("topic")
	pr := w.open("topic")
	wish := func(sha string) string {
		_, problem := w.graph(enable, map[string]any{"id": pr.GetNodeID(), "head": sha})
		return problem
	}
	if got := wish(head); !strings.Contains(got, "not allowed for this repository") {
		t.Errorf("not allowed: %q", got)
	}
	w.must(w.forge.AllowAutoMerge("acme", "web", true))
	if got := wish(head); !strings.Contains(got, "Protected branch rules not configured") {
		t.Errorf("not protected: %q", got)
	}
	w.must(w.forge.Protect("acme", "web", "main", &forge.Protection{Checks: []string{"build"}}))
	if got := wish("0123456789012345678901234567890123456789"); !strings.Contains(got, "modified") {
		t.Errorf("another head: %q", got)
	}
	if got := wish(head); got != "" {
		t.Fatalf("refused: %s", got)
	}
	if p := w.pull(pr.GetNumber()); p.AutoMerge.GetMergeMethod() != "squash" || p.GetMerged() {
		t.Errorf("auto merge %v, merged %v", p.AutoMerge, p.GetMerged())
	}
	clock.pass(5 * time.Minute)
	if p := w.pull(pr.GetNumber()); !p.GetMerged() || p.GetMergeCommitSHA() == "" {
		t.Errorf("the build is done, merged %v", p.GetMerged())
	}
}

// What waits for nothing is not taken: a client has to merge it itself.
func TestAutoMergeOfWhatIsClean(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.must(w.forge.AllowAutoMerge("acme", "web", true))
	w.must(w.forge.Protect("acme", "web", "main", &forge.Protection{}))
	w.branchWithChange("topic")
	_, got := w.graph(enable, map[string]any{"id": w.open("topic").GetNodeID()})
	if got != "Pull request Pull request is in clean status" {
		t.Errorf("got %q", got)
	}
}

func TestGraphQLIsHeldAgainstTheSchema(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for query, want := range map[string]string{
		`{viewer{login}}`:                                       "",
		`{viewer{login cas}}`:                                   `Cannot query field "cas"`,
		`{repository{name}}`:                                    `argument "name"`,
		`mutation{merge(x:1){}}`:                                "expected at least one definition",
		`{repository(owner:"acme",name:"none"){name}}`:          "Could not resolve to a Repository",
		`{repository(owner:"acme",name:"web"){stargazerCount}}`: "",
	} {
		if _, got := w.graph(query, nil); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if n := w.forge.Unresolved()["Repository.stargazerCount"]; n != 1 {
		t.Errorf("a field that nothing is known of was counted %d times", n)
	}
	if err := forge.CheckDocument(`mutation($id:ID!){enablePullRequestAutoMerge(input:{pullRequestID:$id}){pullRequest{number}}}`); err == nil {
		t.Error("a wrong input field is in the schema")
	}
}

func TestRolesAndClosedRepositories(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for login, role := range map[string]string{"reader": "read", "stranger": "none"} {
		w.forge.AddUser(login, "secret-"+login)
		w.must(w.forge.SetRole("acme", "web", login, role))
	}
	const blob = `{"content":"a"}`
	w.want(200, w.ask("secret-reader", "GET", "/repos/acme/web", ""))
	w.want(403, w.ask("secret-reader", "POST", "/repos/acme/web/git/blobs", blob))
	w.want(404, w.ask("secret-stranger", "GET", "/repos/acme/web", ""))
	w.must(w.forge.ArchiveRepository("acme", "web"))
	w.want(200, w.ask("secret-ci", "GET", "/repos/acme/web", ""))
	w.want(403, w.ask("secret-ci", "POST", "/repos/acme/web/git/blobs", blob))
	w.must(w.forge.DisableRepository("acme", "web"))
	w.want(403, w.ask("secret-ci", "GET", "/repos/acme/web", ""))
	if err := w.forge.SetRole("acme", "web", "ci", "owner"); err == nil {
		t.Error("there is no such role")
	}
}

func TestARenamedRepositoryLeadsOn(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.must(w.forge.RenameRepository("acme", "web", "shop"))
	read := w.ask("secret-ci", "GET", "/repos/acme/web/pulls?state=open", "")
	w.want(301, read)
	if to := read.Header().Get("Location"); !strings.HasSuffix(to, "/pulls?state=open") || !strings.Contains(to, "/repositories/") {
		t.Errorf("leads to %s", to)
	}
	write := w.ask("secret-ci", "POST", "/repos/acme/web/git/blobs", `{"content":"a"}`)
	w.want(307, write)
	to := write.Header().Get("Location")
	w.want(201, w.ask("secret-ci", "POST", to[strings.Index(to, "/repositories"):], `{"content":"a"}`))
}

func TestReviewersHaveToBeCollaborators(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	w.branchWithChange("topic")
	at := fmt.Sprintf("/repos/acme/web/pulls/%d/requested_reviewers", w.open("topic").GetNumber())
	w.want(422, w.ask("secret-ci", "POST", at, `{"reviewers":["nobody"]}`))
	w.want(422, w.ask("secret-ci", "POST", at, `{"reviewers":["ci"]}`))
	w.must(w.forge.SetRole("acme", "web", "dev", "write"))
	w.want(201, w.ask("secret-ci", "POST", at, `{"reviewers":["dev"]}`))
}

func TestWebhooksGoAstray(t *testing.T) {
	var mu sync.Mutex
	var ids []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, r.Header.Get("X-GitHub-Delivery"))
	}))
	defer server.Close()
	w := start(t, t.TempDir(), func(c *forge.Config) {
		c.WebhookURL, c.Faults = server.URL, forge.Faults{Seed: 3, Hooks: 0.5}
	})
	for i := range 40 {
		w.want(201, w.ask("secret-ci", "POST", "/repos/acme/web/issues", fmt.Sprintf(`{"title":"%d"}`, i)))
	}
	w.must(w.forge.Close())
	times := map[string]int{}
	for _, id := range ids {
		times[id]++
	}
	if len(times) == 40 || len(ids) == len(times) {
		t.Errorf("%d of 40 arrived, %d times: none was lost, or none came twice", len(times), len(ids))
	}
}
