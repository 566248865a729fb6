package contract

import (
	"net/http"
	"testing"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// G2: what our client asks for by GraphQL is answered, every field of it, and does what it says.
func TestG2OurClientHasItMergedByTheForge(t *testing.T) {
	w := open(t, "", nil)
	ctx := t.Context()
	s, err := newStage(w.base+"/api/v3", http.DefaultTransport, w.app)
	must(t, err)
	must(t, w.forge.AllowAutoMerge(organization, "web", true))
	must(t, w.forge.Protect(organization, "web", "main", &forge.Protection{Checks: []string{"build"}}))
	pr, err := s.send(ctx, "a", "Dockerfile")
	must(t, err)
	run, _, err := s.person.Checks.CreateCheckRun(ctx, organization, "web", github.CreateCheckRunOptions{
		Name: "build", HeadSHA: pr.HeadCommit, Status: github.String("in_progress"),
	})
	must(t, err)
	for range 5 { // the first answers may be that the forge does not know yet
		merge, err := s.client.AutoMerge(ctx, repository, pr.Number, pr.HeadCommit, false)
		must(t, err)
		if merge.State == notify.MergeEnabled {
			break
		}
		t.Logf("%s: %s", merge.State, merge.Why)
	}
	_, _, err = s.person.Checks.UpdateCheckRun(ctx, organization, "web", run.GetID(), github.UpdateCheckRunOptions{
		Name: "build", Conclusion: github.String("success"),
	})
	must(t, err)
	checks, err := s.client.Checks(ctx, repository, pr.HeadCommit)
	must(t, err)
	if checks.Total != 1 || checks.State == notify.Red {
		t.Errorf("checks: %+v", checks)
	}
	for range 3 { // the forge merges what it knows to be mergeable
		if pr, err = s.client.PullRequest(ctx, repository, pr.Number); err != nil || pr.State == notify.Merged {
			break
		}
		_, err = s.client.Checks(ctx, repository, pr.HeadCommit)
	}
	must(t, err)
	if pr.State != notify.Merged {
		t.Errorf("the check is green, and it is %s", pr.State)
	}
	_ = w.forge.Close()
	for _, f := range append(w.record.Findings(), w.hooks.Findings()...) {
		t.Error(f)
	}
	for field, n := range w.forge.Unresolved() {
		t.Errorf("%s was asked for %d times and is not answered", field, n)
	}
	if len(w.forge.Documents()) < 2 {
		t.Error("nothing was asked for by GraphQL")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
