package github_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/demo/forge"
	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"

	"github.com/google/go-github/v57/github"
)

// to is the proposal that pins a digest, as the rollout makes it.
func (w *world) to(digest string) notify.Proposal {
	w.t.Helper()
	p := w.proposal()
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:" + digest + "\r\nRUN true")}
	p.Pins = map[string]string{"base/debian": "sha256:" + digest}
	p.Title, p.Body = "Update base/debian:stable to "+digest, "To "+digest+"."
	return p
}

func (w *world) closeByPerson(number int) {
	w.t.Helper()
	w.edit(number, &github.PullRequest{State: github.String("closed")})
}

func (w *world) comments(number int) []string {
	w.t.Helper()
	all, _, err := w.human.Issues.ListComments(w.t.Context(), "acme", "web", number, nil)
	w.must(err)
	var out []string
	for _, c := range all {
		out = append(out, c.GetBody())
	}
	return out
}

func (w *world) approve(number int) {
	w.t.Helper()
	_, _, err := w.human.PullRequests.CreateReview(w.t.Context(), "acme", "web", number, &github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	w.must(err)
}

// fails expects an error of a type, and no write.
func fails[T error](w *world, p notify.Proposal) T {
	w.t.Helper()
	before := w.wire.writes()
	_, err := w.client.Propose(w.t.Context(), p)
	var want T
	if !errors.As(err, &want) {
		w.t.Fatalf("got %v, want a %T", err, want)
	}
	if sent := w.wire.writes() - before; sent != 0 {
		w.t.Errorf("%d writes were sent, want none", sent)
	}
	return want
}

// Rule 1: one pull request a key, all files in one commit, whatever its words and digests are; another key has its own.
func TestRule01OnePullRequest(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.Files["deploy/images/Dockerfile"] = []byte("FROM base/debian:stable@sha256:a\n")
	first := w.propose(p, 4)
	if got := w.git("rev-list", "--count", "main.."+first.Head); got != "1\n" {
		t.Errorf("%s commits, want one", got)
	}
	if second := w.propose(w.to("b"), 4); second.Number != first.Number || second.Head != first.Head {
		t.Errorf("first %+v\nsecond %+v", first, second)
	}
	other := w.to("c")
	other.Key, other.Slug, other.Pins = "acme/web main base/python:stable", "base-python-stable", map[string]string{"base/python": "sha256:c"}
	if got := w.propose(other, 3); got.Number == first.Number || !strings.HasPrefix(got.Head, "rebuilder/base-python-stable-") {
		t.Errorf("another line: %+v", got)
	}
	if n := len(w.pulls()); n != 2 {
		t.Errorf("%d pull requests", n)
	}
}

// Rule 2: title and body follow the digest in place.
func TestRule02TitleNamesTheDigest(t *testing.T) {
	w := start(t)
	w.propose(w.to("a"), 3)
	w.propose(w.to("b"), 4)
	if got := w.pulls(); len(got) != 1 || got[0].GetTitle() != "Update base/debian:stable to b" || !strings.Contains(got[0].GetBody(), "To b.") || strings.Contains(got[0].GetBody(), "To a.") {
		t.Errorf("%q %q", got[0].GetTitle(), got[0].GetBody())
	}
}

// Rule 3: a newer digest is a new single commit on the current base, and only over the commit that we made.
func TestRule03UpdatesInPlace(t *testing.T) {
	w := start(t)
	first := w.propose(w.to("a"), 3)
	w.personCommits("main", "README.md", "unrelated\n")
	p := w.to("b")
	second := w.propose(p, 4)
	if got := strings.TrimSpace(w.git("rev-parse", second.Head+"^")); got != p.Base || second.Head != first.Head {
		t.Errorf("the commit is on %s, not on %s", got, p.Base)
	}
	mine := ""
	w.wire.fail(fault{on: "^POST .*/git/commits", first: func() { mine = w.personCommits(second.Head, "notes.txt", "mine\n") }})
	if _, err := w.client.Propose(t.Context(), w.to("c")); err == nil || w.head(second.Head) != mine {
		t.Errorf("a person's push was lost: %v", err)
	}
}

// Rule 4: a base that merely moved is no reason; a conflict, a rule that wants the branch up to date and a person are.
func TestRule04RebasesOnlyForAReason(t *testing.T) {
	w := start(t)
	w.propose(w.to("a"), 3)
	w.personCommits("main", "README.md", "unrelated\n")
	p := w.to("a")
	p.Files["Dockerfile"] = append(p.Files["Dockerfile"], " # and the file has changed elsewhere"...)
	w.propose(p, 0)
	asked := w.to("a")
	asked.Rebase = true
	if pr := w.propose(asked, 4); strings.TrimSpace(w.git("rev-parse", pr.Head+"^")) != asked.Base {
		t.Error("a person asked, and it is not on the base")
	}
	w.propose(asked, 0)
	w.personCommits("main", "Dockerfile", "FROM base/debian:stable\nRUN something else\n")
	p = w.to("a")
	pr := w.propose(p, 4)
	if strings.TrimSpace(w.git("rev-parse", pr.Head+"^")) != p.Base {
		t.Error("it conflicts, and is not on the base")
	}
	w.propose(p, 0)
	w.must(w.hub.Protect("acme", "web", "main", &forge.Protection{UpToDate: true}))
	w.personCommits("main", "README.md", "unrelated again\n")
	p = w.to("a")
	if pr := w.propose(p, 4); strings.TrimSpace(w.git("rev-parse", pr.Head+"^")) != p.Base {
		t.Error("it must be up to date, and is not on the base")
	}
}

// Rule 4: no more pushes than the caller allows, of new branches and of old ones.
func TestRule04Pushes(t *testing.T) {
	w := start(t)
	full := &notify.Held{Until: time.Unix(2e9, 0), Reason: "2 of 2 pushes are made"}
	p := w.to("a")
	p.NoPush = full
	if got := fails[*notify.Held](w, p); got != full {
		t.Errorf("got %v", got)
	}
	if pr := w.propose(w.to("a"), 3); !pr.Pushed {
		t.Error("it does not say that it pushed")
	}
	p = w.to("a")
	p.NoPush = full
	if pr := w.propose(p, 0); pr.Pushed {
		t.Error("it says that it pushed")
	}
	p = w.to("b")
	p.NoPush = full
	fails[*notify.Held](w, p)
}

// Rule 5: an approval outlives a base that has moved; what has to change is said in one comment.
func TestRule05KeepsApprovals(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	w.approve(pr.Number)
	w.must(w.hub.Protect("acme", "web", "main", &forge.Protection{UpToDate: true}))
	w.personCommits("main", "README.md", "unrelated\n")
	got := w.propose(w.to("a"), 0)
	if w.head(pr.Head) != pr.HeadCommit || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "approval stays") {
		t.Errorf("pushed over an approval for nothing: %+v", got)
	}
	w.propose(w.to("b"), 5) // the comment, tree, commit, ref, text
	said := w.comments(pr.Number)
	if len(said) != 1 || !strings.Contains(said[0], "`person`") || !strings.Contains(said[0], "to b") || strings.Contains(said[0], "@") {
		t.Errorf("said %q", said)
	}
	w.propose(w.to("c"), 5)
	if said = w.comments(pr.Number); len(said) != 1 || !strings.Contains(said[0], "to c") {
		t.Errorf("said %q", said)
	}
	w.propose(w.to("c"), 0)
}

// Rule 6: over a person's commits nothing is pushed; one comment says what is wanted and how to hand over.
func TestRule06HandsOffAPersonsCommits(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	mine := w.personCommits(pr.Head, "notes.txt", "my work\n")
	if got := w.propose(w.to("a"), 0); !got.Human || !got.Current {
		t.Errorf("it has what is wanted: %+v", got)
	}
	if got := w.propose(w.to("b"), 1); !got.Human || got.Current || w.head(pr.Head) != mine {
		t.Errorf("got %+v", got)
	}
	w.propose(w.to("b"), 0)
	w.propose(w.to("c"), 1)
	if said := w.comments(pr.Number); len(said) != 1 || !strings.Contains(said[0], "to c") || !strings.Contains(said[0], "take over") {
		t.Errorf("said %q", said)
	}
	p := w.to("c")
	p.TakeOver = true
	if got := w.propose(p, 4); got.Human || w.head(pr.Head) == mine || w.git("rev-list", "--count", "main.."+pr.Head) != "1\n" {
		t.Errorf("taken over: %+v", got)
	}
	w.propose(w.to("c"), 0)
}

// Rule 6: what a person writes around our words stays, and so does a title; what a person takes out stays out.
func TestRule06KeepsAPersonsWords(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	w.edit(pr.Number, &github.PullRequest{Title: github.String("My title"), Body: github.String("Above.\r\n" + w.pulls()[0].GetBody() + "\r\nBelow.")})
	w.propose(w.to("a"), 0)
	w.propose(w.to("b"), 4)
	got := w.pulls()[0]
	for _, want := range []string{"Above.", "Below.", "To b."} {
		if !strings.Contains(got.GetBody(), want) {
			t.Errorf("%q is gone: %q", want, got.GetBody())
		}
	}
	if got.GetTitle() != "My title" || strings.Contains(got.GetBody(), "To a.") {
		t.Errorf("%q %q", got.GetTitle(), got.GetBody())
	}
	w.propose(w.to("b"), 0)
	w.edit(pr.Number, &github.PullRequest{Body: github.String("Everything deleted.")})
	w.propose(w.to("b"), 1) // the marker
	if got := w.pulls()[0].GetBody(); !strings.HasPrefix(got, "Everything deleted.\n\n<!-- rebuilder:v1 ") {
		t.Errorf("body %q", got)
	}
	w.propose(w.to("b"), 0)
}

// Rule 7: closed means not this digest, in whatever files; a newer one comes after the cool-down, and at once without one.
func TestRule07ClosedMeansClosed(t *testing.T) {
	w := start(t)
	first := w.propose(w.to("a"), 3)
	w.closeByPerson(first.Number)
	w.personCommits("main", "Dockerfile", "FROM base/debian:stable\r\nRUN something else")
	same := w.to("a")
	same.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:a\r\nRUN something else")
	if got := w.propose(same, 0); got.State != notify.Closed || got.Number != first.Number {
		t.Errorf("the same digest in another file: %+v", got)
	}
	newer := w.to("b")
	newer.CoolDown = 7 * 24 * time.Hour
	held := fails[*notify.Held](w, newer)
	if left := time.Until(held.Until); left < 6*24*time.Hour || left > 7*24*time.Hour || !strings.Contains(held.Reason, fmt.Sprintf("#%d", first.Number)) {
		t.Errorf("held %s: %s", left, held.Reason)
	}
	w.client = w.connect(func(c *ours.Config) { c.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) } })
	if got := w.propose(newer, 3); got.Number == first.Number || got.State != notify.Open {
		t.Errorf("after the cool-down: %+v", got)
	}
}

// Rule 7: what is severe does not wait for the cool-down.
func TestRule07SeverityGoesFirst(t *testing.T) {
	w := start(t)
	first := w.propose(w.to("a"), 3)
	w.closeByPerson(first.Number)
	if got := w.propose(w.to("b"), 3); got.Number == first.Number { // the rollout gives no cool-down then
		t.Errorf("got %+v", got)
	}
}

// Rule 7: the label rebuilder:never ends a line for good, on an open pull request and on a closed one.
func TestRule07Never(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	w.must(w.client.Label(t.Context(), "acme/web", pr.Number, "rebuilder:never"))
	if got := w.propose(w.to("b"), 0); !got.Never || w.head(pr.Head) != pr.HeadCommit {
		t.Errorf("open: %+v", got)
	}
	w.closeByPerson(pr.Number)
	if got := w.propose(w.to("c"), 0); !got.Never || got.Number != pr.Number {
		t.Errorf("closed: %+v", got)
	}
	w.must(w.client.Unlabel(t.Context(), "acme/web", pr.Number, "rebuilder:never"))
	w.must(w.client.Unlabel(t.Context(), "acme/web", pr.Number, "rebuilder:never"))
	if got := w.propose(w.to("c"), 3); got.Never || got.Number == pr.Number {
		t.Errorf("label taken off: %+v", got)
	}
}

// Rule 7: a deleted branch is a closed pull request.
func TestRule07BranchDeleted(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	_, err := w.human.Git.DeleteRef(t.Context(), "acme", "web", "heads/"+pr.Head)
	w.must(err)
	if got := w.propose(w.to("a"), 0); got.State != notify.Closed || got.Number != pr.Number {
		t.Errorf("got %+v", got)
	}
}

// Rule 8: what nobody wants any more is closed with one line, its branch deleted; it is not what a person declined.
func TestRule08Withdrawn(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	for range 2 {
		w.must(w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Closed: superseded. What comes in its place is #2."))
	}
	if said := w.comments(pr.Number); len(said) != 1 || !strings.HasPrefix(said[0], "Closed: superseded.") {
		t.Errorf("said %q", said)
	}
	if got := w.git("branch", "--list", pr.Head); got != "" {
		t.Errorf("the branch is there: %s", got)
	}
	if got := w.pulls()[0]; got.GetState() != "closed" || !strings.Contains(got.GetBody(), "To a.") {
		t.Errorf("%s %q", got.GetState(), got.GetBody())
	}
	again := w.to("a")
	again.CoolDown = time.Hour
	if got := w.propose(again, 3); got.State != notify.Open || got.Number == pr.Number {
		t.Errorf("wanted again: %+v", got)
	}
}

// Rule 8: a branch with a person's commits stays.
func TestRule08WithdrawnWithAPersonsCommits(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	mine := w.personCommits(pr.Head, "notes.txt", "my work\n")
	w.must(w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Closed: superseded."))
	if w.head(pr.Head) != mine {
		t.Error("the person's commits are gone")
	}
}

// Rule 8: a kill between any two requests, and the next call ends it.
func TestRule08WithdrawalSurvivesAKill(t *testing.T) {
	for n := 0; ; n++ {
		w := start(t)
		pr := w.propose(w.to("a"), 3)
		w.wire.fail(fault{on: ".", nth: n, always: true})
		err := w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Closed.")
		w.wire.healed(t)
		w.client = w.connect(nil)
		w.must(w.client.ClosePullRequest(t.Context(), "acme/web", pr.Number, "Closed."))
		if said := w.comments(pr.Number); len(said) != 1 || w.git("branch", "--list", pr.Head) != "" || w.pulls()[0].GetState() != "closed" {
			t.Errorf("after %d requests: %q", n, said)
		}
		if err == nil {
			return
		}
	}
}

// A person who declines by us is a person.
func TestRule08DeclinedIsNotWithdrawn(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	w.must(w.client.Decline(t.Context(), "acme/web", pr.Number, "Closed as `ada` asked."))
	if got := w.propose(w.to("a"), 0); got.State != notify.Closed || w.git("branch", "--list", pr.Head) == "" {
		t.Errorf("got %+v", got)
	}
}

// Rule 10: no more are opened than the caller allows; one that is open is updated.
func TestRule10Limits(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.NoOpen = &notify.Held{Until: time.Unix(2e9, 0), Reason: "3 of 3 are open"}
	fails[*notify.Held](w, p)
	w.propose(w.to("a"), 3)
	p = w.to("b")
	p.NoOpen = &notify.Held{Until: time.Unix(2e9, 0), Reason: "3 of 3 are open"}
	w.propose(p, 4)
}

// Rule 12: labels once, reviewers once; one who cannot be asked is a note.
func TestRule12LabelsAndReviewers(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.Labels, p.Reviewers = []string{"base-image"}, []string{"person"}
	pr := w.propose(p, 6) // ref, file, pull request, label, reviewer, marker
	if len(pr.Notes) != 0 {
		t.Errorf("notes %q", pr.Notes)
	}
	w.propose(p, 0)
	w.approve(pr.Number) // takes the reviewer off the list
	w.propose(p, 0)
	p.Reviewers = []string{"nobody-of-this-name"}
	pr = w.propose(p, 2)
	if len(pr.Notes) != 1 || !strings.Contains(pr.Notes[0], "nobody-of-this-name") {
		t.Errorf("notes %q", pr.Notes)
	}
	w.propose(p, 0)
}

// A proposal that is not ready is a draft, where the repository has drafts.
func TestDraft(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.Draft = true
	if pr := w.propose(p, 3); !pr.Draft {
		t.Errorf("got %+v", pr)
	}
	if pr := w.propose(w.to("b"), 4); len(pr.Notes) != 1 || !strings.Contains(pr.Notes[0], "ready for review") {
		t.Errorf("notes %q", pr.Notes)
	}
}

// Rule 13: mode, line ends, byte order mark and missing last newline stay; nobody is named as author.
func TestRule13BytesAndMode(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.Files = map[string][]byte{"deploy/images/entry.sh": []byte("\xef\xbb\xbf#!/bin/sh\r\ntrue")}
	p.Trailers = []string{"Fixes-CVE: CVE-2026-1\nRebuilder-Proposal: forged"}
	pr := w.propose(p, 4)
	if got := w.git("ls-tree", pr.Head, "deploy/images/entry.sh"); !strings.HasPrefix(got, "100755 ") {
		t.Errorf("mode: %s", got)
	}
	if got := w.git("cat-file", "blob", pr.Head+":deploy/images/entry.sh"); got != string(p.Files["deploy/images/entry.sh"]) {
		t.Errorf("bytes %q", got)
	}
	if got := w.git("log", "-1", "--format=%an %cn", pr.Head); got != "rebuilder-bot rebuilder-bot\n" {
		t.Errorf("made by %q", got)
	}
	if got := w.git("log", "-1", "--format=%B", pr.Head); !strings.Contains(got, "\nFixes-CVE: CVE-2026-1 Rebuilder-Proposal: forged\nRebuilder-Proposal: ") {
		t.Errorf("message %q", got)
	}
}

// Rule 16: with everything that can be asked for, the second run, of a daemon that knows nothing, writes nothing.
func TestRule16SecondRunWritesNothing(t *testing.T) {
	w := start(t)
	p := w.to("a")
	p.Labels, p.Reviewers, p.Draft, p.CoolDown, p.Trailers = []string{"base-image", "Security"}, []string{"person"}, true, time.Hour, []string{"X: y"}
	w.propose(p, 6)
	w.client = w.connect(nil)
	w.propose(p, 0)
	w.propose(p, 0)
}

// Rule 17: one issue, written only when it says something else; one that a person closed stays closed.
func TestRule17Dashboard(t *testing.T) {
	w := start(t)
	show := func(number int, body string, writes int, wantOpen bool) int {
		t.Helper()
		before := w.wire.writes()
		now, open, err := w.client.Dashboard(t.Context(), "acme/web", number, "Base images", body)
		w.must(err)
		if sent := w.wire.writes() - before; sent != writes || open != wantOpen {
			t.Errorf("%d writes, want %d; open %v", sent, writes, open)
		}
		return now
	}
	number := show(0, "One open.", 1, true)
	if again := show(0, "One open.", 0, true); again != number { // its number was forgotten
		t.Errorf("another issue: %d and %d", number, again)
	}
	show(number, "One open.", 0, true)
	show(number, "Two open.\n"+notify.Box(notify.OpenNow, "web", " now"), 1, true)
	issue, _, err := w.human.Issues.Get(t.Context(), "acme", "web", number)
	w.must(err)
	_, _, err = w.human.Issues.Edit(t.Context(), "acme", "web", number, &github.IssueRequest{Body: github.String(strings.Replace(issue.GetBody(), "[ ]", "[x]", 1))})
	w.must(err)
	w.must(w.client.Untick(t.Context(), "acme/web", number))
	show(number, "Two open.\n"+notify.Box(notify.OpenNow, "web", " now"), 0, true)
	_, _, err = w.human.Issues.Edit(t.Context(), "acme", "web", number, &github.IssueRequest{State: github.String("closed")})
	w.must(err)
	show(number, "Three open.", 0, false)
}

// Rule 18: an archived repository is left in peace, with who can act.
func TestRule18Archived(t *testing.T) {
	w := start(t)
	p := w.to("a")
	w.must(w.hub.ArchiveRepository("acme", "web"))
	if no := fails[*notify.Refused](w, p); !strings.Contains(no.Reason, "archived") || no.Who == "" || no.Temporary() {
		t.Errorf("got %+v", no)
	}
}

// Rule 18: what the token may not do is said once, with who can act.
func TestRule18Forbidden(t *testing.T) {
	w := start(t)
	p := w.to("a")
	w.wire.fail(fault{on: "^PUT .*/contents/", status: 403, body: `{"message":"Resource not accessible by integration"}`})
	_, err := w.client.Propose(t.Context(), p)
	var no *notify.Refused
	if !errors.As(err, &no) || no.Who != "who keeps the forge's token" {
		t.Errorf("got %v", err)
	}
	w.wire.healed(t)
}

// Rule 18: a renamed repository is found again, also its pull request, and said to have another name.
func TestRule18Renamed(t *testing.T) {
	w := start(t)
	p := w.to("a")
	first := w.propose(p, 3)
	w.must(w.hub.RenameRepository("acme", "web", "site"))
	if got := w.propose(p, 0); got.Number != first.Number || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "acme/site") {
		t.Errorf("got %+v", got)
	}
}

// Who may ask for something: those who may push, and no robots.
func TestMayWrite(t *testing.T) {
	w := start(t)
	for role, want := range map[string]bool{"admin": true, "maintain": true, "write": true, "triage": false, "read": false, "none": false} {
		w.must(w.hub.SetRole("acme", "web", "person", role))
		if got, err := w.client.MayWrite(t.Context(), "acme/web", "person"); err != nil || got != want {
			t.Errorf("%s: %v, %v", role, got, err)
		}
	}
	for _, login := range []string{"dependabot[bot]", "../../user", "", "a b"} {
		if got, err := w.client.MayWrite(t.Context(), "acme/web", login); got || !errors.Is(err, notify.ErrNotFound) {
			t.Errorf("%q: %v, %v", login, got, err)
		}
	}
}

// Answers to people are made once.
func TestAnswers(t *testing.T) {
	w := start(t)
	pr := w.propose(w.to("a"), 3)
	said, _, err := w.human.Issues.CreateComment(t.Context(), "acme", "web", pr.Number, &github.IssueComment{Body: github.String("/rebuilder rebase")})
	w.must(err)
	for range 2 {
		w.must(w.client.React(t.Context(), "acme/web", said.GetID(), true))
		w.must(w.client.Reply(t.Context(), "acme/web", pr.Number, "delivery-1", "Ask for it there."))
	}
	if got := w.comments(pr.Number); len(got) != 2 {
		t.Errorf("comments %q", got)
	}
	seen, _, err := w.human.Reactions.ListIssueCommentReactions(t.Context(), "acme", "web", said.GetID(), nil)
	w.must(err)
	if len(seen) != 1 || seen[0].GetContent() != "+1" {
		t.Errorf("reactions %v", seen)
	}
}
