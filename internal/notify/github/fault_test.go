package github_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"
)

// A lost answer to any single write, after it took effect: Propose, called until it succeeds, ends with one pull
// request and one commit, and then has nothing to do.
func TestProposeSurvivesTheLossOfAnyAnswer(t *testing.T) {
	for name, lost := range map[string]fault{
		"502 after":      {on: "^(POST|PUT)", status: http.StatusBadGateway, effect: true},
		"cut after":      {on: "^(POST|PUT)", effect: true},
		"502 instead of": {on: "^(POST|PUT)", status: http.StatusBadGateway},
	} {
		for n := range 4 {
			t.Run(fmt.Sprintf("%s write %d", name, n), func(t *testing.T) {
				w := start(t)
				p := w.proposal()
				p.Labels = []string{"base-image"}
				lost.nth = n
				w.wire.fail(lost)
				pr, err := w.client.Propose(t.Context(), p)
				w.wire.healed(t)
				if err != nil {
					w.client = w.connect(nil) // as after a crash
					pr, err = w.client.Propose(t.Context(), p)
				}
				w.must(err)
				w.onePullRequest(p, pr)
			})
		}
	}
}

// Where the answer is lost that the pull request was made, it is looked up at once.
func TestPullRequestIsFoundWhenItsAnswerIsLost(t *testing.T) {
	w := start(t)
	w.wire.fail(fault{on: "^POST .*/pulls$", status: http.StatusBadGateway, effect: true})
	if pr := w.propose(w.proposal(), 3); pr.Number != 1 {
		t.Errorf("got %+v", pr)
	}
	w.wire.healed(t)
}

// A kill between any two requests: from some request on nothing gets through, and then a new daemon comes.
func TestProposeSurvivesAKillBetweenAnyTwoRequests(t *testing.T) {
	for n := range countRequests(t) {
		t.Run(fmt.Sprintf("after %d requests", n), func(t *testing.T) {
			w := start(t)
			p := w.proposal()
			p.Labels = []string{"base-image"}
			w.wire.fail(fault{on: ".", nth: n, always: true})
			if _, err := w.client.Propose(t.Context(), p); err == nil {
				t.Fatal("no error although the connection was cut")
			}
			w.wire.healed(t)
			w.client = w.connect(nil)
			pr, err := w.client.Propose(t.Context(), p)
			w.must(err)
			w.onePullRequest(p, pr)
		})
	}
}

// The same while an open pull request is brought to a newer proposal.
func TestUpdateSurvivesAKillBetweenAnyTwoRequests(t *testing.T) {
	for n := 0; ; n++ {
		w := start(t)
		p := w.proposal()
		w.propose(p, 3)
		p.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:2\n")
		p.Title = "Update base debian:stable to 2"
		w.wire.fail(fault{on: ".", nth: n, always: true})
		_, err := w.client.Propose(t.Context(), p)
		w.wire.healed(t)
		if err == nil {
			if n < 6 {
				t.Errorf("an update took %d requests", n)
			}
			return
		}
		w.client = w.connect(nil)
		pr, err := w.client.Propose(t.Context(), p)
		w.must(err)
		w.onePullRequest(p, pr)
	}
}

// countRequests is how many requests a first proposal takes.
func countRequests(t *testing.T) int {
	t.Helper()
	w := start(t)
	p := w.proposal()
	p.Labels = []string{"base-image"}
	before := w.wire.requests()
	w.propose(p, 4)
	n := w.wire.requests() - before
	if n < 9 {
		t.Fatalf("a proposal took %d requests", n)
	}
	return n
}

func (w *world) onePullRequest(p notify.Proposal, pr notify.PullRequest) {
	w.t.Helper()
	all := w.pulls()
	if len(all) != 1 || all[0].GetNumber() != pr.Number || pr.State != notify.Open || pr.Human {
		w.t.Fatalf("%d pull requests, want one; got %+v", len(all), pr)
	}
	if got := w.git("rev-list", "--count", "main.."+pr.Head); got != "1\n" {
		w.t.Errorf("%s commits, want one", got)
	}
	if got := w.git("cat-file", "blob", pr.Head+":Dockerfile"); got != string(p.Files["Dockerfile"]) {
		w.t.Errorf("Dockerfile is %q", got)
	}
	if all[0].GetTitle() != p.Title || len(all[0].Labels) != len(p.Labels) {
		w.t.Errorf("title %q, %d labels", all[0].GetTitle(), len(all[0].Labels))
	}
	if refs := strings.Fields(w.git("for-each-ref", "--format=%(refname)", "refs/heads/rebuilder")); len(refs) != 1 {
		w.t.Errorf("branches: %v", refs)
	}
	w.propose(p, 0)
}

func TestObjectsThatGitHubDoesNotSeeYet(t *testing.T) {
	for request, message := range map[string]string{
		"POST .*/git/commits": "Tree SHA does not exist",
		"POST .*/git/refs":    "Object does not exist",
	} {
		w := start(t)
		w.wire.fail(fault{on: request, status: 422, body: `{"message":"` + message + `","documentation_url":"https://x"}`})
		p, writes := w.proposal(), 4
		if strings.HasPrefix(message, "Tree") {
			p.Files["deploy/images/Dockerfile"], writes = []byte("FROM base/debian:stable@sha256:1\n"), 5
		}
		pr := w.propose(p, writes)
		w.wire.healed(t)
		if pr.Number != 1 {
			t.Errorf("%s: got %+v", message, pr)
		}
	}
}

func TestReferenceUpdateFailedIsTriedAgain(t *testing.T) {
	w := start(t)
	p := w.proposal()
	w.propose(p, 3)
	p.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:2\n")
	w.wire.fail(fault{on: "PATCH .*/git/refs", status: 422, body: `{"message":"Reference update failed","documentation_url":"https://x"}`})
	w.propose(p, 5)
	w.wire.healed(t)
}

func TestRateLimitsAreHandedOverAtOnce(t *testing.T) {
	reset := time.Now().Add(time.Hour).Truncate(time.Second)
	primary := map[string]string{
		"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": strconv.FormatInt(reset.Unix(), 10),
	}
	const secondary = `{"message":"You have exceeded a secondary rate limit",
		"documentation_url":"https://docs.github.com/rest/x#about-secondary-rate-limits"}`
	const other = `{"message":"Forbidden for now","documentation_url":"https://x"}`
	const plain = `{"message":"API rate limit exceeded","documentation_url":"https://x"}`
	later := map[string]string{"Retry-After": "600"}
	const hour, ten, minute = time.Hour, 10 * time.Minute, time.Minute
	for name, c := range map[string]struct {
		on    string
		fault fault
		wait  time.Duration
	}{
		"primary as 403 on a read":         {"GET .*/pulls", fault{status: 403, header: primary, body: plain}, hour},
		"primary as 403 on a commit":       {"PUT .*/contents/", fault{status: 403, header: primary, body: plain}, hour},
		"primary as 403":                   {"POST .*/pulls$", fault{status: 403, header: primary, body: plain}, hour},
		"primary as 429 on a read":         {"GET .*/pulls", fault{status: 429, header: primary, body: plain}, hour},
		"primary as 429":                   {"POST .*/pulls$", fault{status: 429, header: primary, body: plain}, hour},
		"secondary as 403":                 {"POST .*/pulls$", fault{status: 403, body: secondary}, minute},
		"secondary as 403, with a time":    {"POST .*/pulls$", fault{status: 403, header: later, body: secondary}, ten},
		"secondary as 429, with a time":    {"POST .*/pulls$", fault{status: 429, header: later, body: secondary}, ten},
		"a proxy's 429, says nothing":      {"POST .*/pulls$", fault{status: 429, body: "slow down"}, minute},
		"403 with a time and other words":  {"POST .*/pulls$", fault{status: 403, header: later, body: other}, ten},
		"403 with those words and no time": {"POST .*/pulls$", fault{status: 403, body: plain}, minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			p := w.proposal()
			c.fault.on = c.on
			w.wire.fail(c.fault)
			_, err := w.client.Propose(t.Context(), p)
			w.wire.healed(t) // it was asked once: a second attempt would have succeeded
			var limited *notify.RateLimited
			if !errors.As(err, &limited) {
				t.Fatalf("got %v", err)
			}
			if in := time.Until(limited.Until); in < c.wait-minute || in > c.wait {
				t.Errorf("come back in %s, want %s", in, c.wait)
			}
			w.client = w.connect(nil)
			pr, err := w.client.Propose(t.Context(), p)
			w.must(err)
			w.onePullRequest(p, pr)
		})
	}
}

func TestReadsAreRepeatedAndOtherWritesAreNot(t *testing.T) {
	w := start(t)
	w.wire.fail(fault{on: "GET .*/git/ref/", status: 503})
	_, err := w.client.Head(t.Context(), "acme/web", "main")
	w.must(err)
	w.wire.healed(t)
	w.wire.fail(fault{on: "POST .*/dispatches", effect: true, status: 502})
	before := w.wire.writes()
	err = w.client.Dispatch(t.Context(), notify.Dispatch{Repo: "acme/web", Event: "base"})
	if err == nil || w.wire.writes() != before+1 {
		t.Errorf("a dispatch was sent %d times; %v", w.wire.writes()-before, err)
	}
	w.wire.fail(fault{on: "GET .*/git/ref/", status: 500, always: true, body: `{"message":"down"}`})
	if _, err = w.client.Head(t.Context(), "acme/web", "main"); err == nil || !strings.Contains(err.Error(), "500 down") {
		t.Errorf("what GitHub said last is lost: %v", err)
	}
}

func TestRenamedRepositoryIsFollowedByReadsOnly(t *testing.T) {
	w := start(t)
	to := map[string]string{"Location": w.base + "/api/v3/repos/acme/web/git/ref/heads/main"}
	w.wire.fail(fault{on: "GET .*/old/", status: 301, header: to})
	got, err := w.client.Head(t.Context(), "acme/old", "main")
	if err != nil || got != w.head("main") {
		t.Errorf("got %s, %v", got, err)
	}
	w.wire.fail(fault{on: "POST .*/dispatches", status: 301, header: to})
	before := w.wire.requests()
	err = w.client.Dispatch(t.Context(), notify.Dispatch{Repo: "acme/web", Event: "base"})
	if err == nil || w.wire.requests() != before+1 {
		t.Errorf("a write was followed as a read: %d requests, %v", w.wire.requests()-before, err)
	}
}

func TestTokenGoesNowhereElse(t *testing.T) {
	w := start(t)
	w.wire.fail(fault{on: "GET .*/git/ref/", status: 301, header: map[string]string{"Location": "https://elsewhere.example/"}})
	_, err := w.client.Head(t.Context(), "acme/web", "main")
	if err == nil || !strings.Contains(err.Error(), "elsewhere.example") || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
	if w.wire.requests() != 1 {
		t.Errorf("%d requests", w.wire.requests())
	}
	tokenless := w.connect(func(c *ours.Config) {
		c.Token = func(context.Context) (string, error) { return "", errors.New("vault is sealed") }
	})
	if _, err = tokenless.Head(t.Context(), "acme/web", "main"); err == nil || !strings.Contains(err.Error(), "vault is sealed") {
		t.Errorf("got %v", err)
	}
	if w.wire.requests() != 1 {
		t.Error("a request was sent without a token")
	}
}

func TestGivingUpWhileWaiting(t *testing.T) {
	w := start(t)
	slow := w.connect(func(c *ours.Config) { c.WritesPerSecond, c.WriteBurst = 1e-6, 1 })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := slow.Propose(ctx, w.proposal())
		done <- err
	}()
	for w.wire.writes() == 0 { // the first write is allowed at once, the second next week
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
