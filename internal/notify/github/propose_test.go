package github_test

import (
	"errors"
	"strings"
	"testing"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

const branch = "rebuilder/base-debian-stable-"

func TestProposeOpensOnePullRequestAndThenDoesNothing(t *testing.T) {
	w := start(t)
	p := w.proposal()
	p.Labels = []string{"base-image"}
	p.Files["deploy/images/Dockerfile"] = []byte("FROM base/debian:stable@sha256:1\n")
	p.Files["deploy/images/entry.sh"] = []byte("#!/bin/sh\nexec true\n")
	p.Files["deploy/new/logo"] = []byte{0, 0xff}
	pr := w.propose(p, 6) // blob, tree, commit, ref, pull request, labels
	if pr.State != notify.Open || pr.Number != 1 || pr.Human || !strings.HasPrefix(pr.Head, branch) {
		t.Fatalf("got %+v", pr)
	}
	if pr.HeadCommit != w.head(pr.Head) {
		t.Errorf("head is %s, the answer says %s", w.head(pr.Head), pr.HeadCommit)
	}
	if got := w.git("rev-list", "--count", "main.."+pr.Head); got != "1\n" {
		t.Errorf("%s commits, want one", got)
	}
	if got := w.git("cat-file", "blob", pr.Head+":Dockerfile"); got != dockerNew {
		t.Errorf("Dockerfile is %q", got)
	}
	if got := w.git("cat-file", "blob", pr.Head+":deploy/new/logo"); got != "\x00\xff" {
		t.Errorf("logo is %q", got)
	}
	if got := w.git("ls-tree", pr.Head, "deploy/images/entry.sh"); !strings.HasPrefix(got, "100755 ") {
		t.Errorf("the script's mode is gone: %s", got)
	}
	for range 3 {
		if again := w.propose(p, 0); again.Number != pr.Number || again.HeadCommit != pr.HeadCommit {
			t.Errorf("again: %+v", again)
		}
	}
	w.client = w.connect(nil)
	w.propose(p, 0)
}

func TestProposeUpdatesInPlace(t *testing.T) {
	w := start(t)
	p := w.proposal()
	first := w.propose(p, 3)
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")}
	p.Title, p.Body = "Update base debian:stable to 2", "Newer."
	second := w.propose(p, 4) // tree, commit, ref, text
	if second.Number != first.Number || second.Head != first.Head || second.HeadCommit == first.HeadCommit {
		t.Fatalf("first %+v\nsecond %+v", first, second)
	}
	if got := w.git("rev-list", "--count", "main.."+second.Head); got != "1\n" {
		t.Errorf("%s commits, want one", got)
	}
	open := w.pulls()
	if len(open) != 1 || open[0].GetTitle() != p.Title || !strings.HasPrefix(open[0].GetBody(), "<!-- rebuilder:begin -->\nNewer.\n<!-- rebuilder:end -->\n\n<!--") {
		t.Errorf("%d pull requests; %q %q", len(open), open[0].GetTitle(), open[0].GetBody())
	}
	w.propose(p, 0)
	p.Body = "Newer, and why."
	w.propose(p, 1)
	w.propose(p, 0)
}

func TestProposeKeepsAPersonsWords(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	w.edit(pr.Number, &github.PullRequest{
		Title: github.String("My title"), Body: github.String("My words.\n" + w.pulls()[0].GetBody()),
	})
	w.propose(p, 0)
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")} // same words
	w.propose(p, 4)
	if got := w.pulls()[0]; got.GetTitle() != "My title" || !strings.HasPrefix(got.GetBody(), "My words.\n") {
		t.Errorf("now %q %q", got.GetTitle(), got.GetBody())
	}
	w.propose(p, 0)
	w.edit(pr.Number, &github.PullRequest{Body: github.String("Everything deleted.")})
	w.propose(p, 1)
	w.propose(p, 0)
}

func TestProposeLeavesAPersonsCommitsAlone(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	mine := w.personCommits(pr.Head, "notes.txt", "my work\n")
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")}
	p.Title = "Update base debian:stable to 2"
	got := w.propose(p, 1) // a comment
	if !got.Human || got.HeadCommit != mine || w.head(pr.Head) != mine {
		t.Errorf("got %+v", got)
	}
	seen, err := w.client.PullRequest(t.Context(), "acme/web", pr.Number)
	w.must(err)
	if !seen.Human {
		t.Error("PullRequest does not say that a person works on it")
	}
}

// An amended commit keeps our trailer; it is a person's all the same.
func TestProposeLeavesAnAmendedCommitAlone(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	old, _, err := w.human.Git.GetCommit(t.Context(), "acme", "web", pr.HeadCommit)
	w.must(err)
	amended, _, err := w.human.Git.CreateCommit(t.Context(), "acme", "web", &github.Commit{
		Message: old.Message, Tree: old.Tree, Parents: old.Parents, Author: old.Author,
		Committer: &github.CommitAuthor{
			Name: github.String("P"), Email: github.String("p@example.com"), Date: old.Author.Date,
		},
	}, nil)
	w.must(err)
	_, _, err = w.human.Git.UpdateRef(t.Context(), "acme", "web", &github.Reference{
		Ref: github.String("refs/heads/" + pr.Head), Object: &github.GitObject{SHA: amended.SHA},
	}, true)
	w.must(err)
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")}
	if got := w.propose(p, 1); !got.Human || w.head(pr.Head) != amended.GetSHA() {
		t.Errorf("got %+v", got)
	}
}

// A person pushes after we looked and before we replace our commit.
func TestProposeNoticesABranchThatMovedMeanwhile(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	p.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")}
	mine := ""
	w.wire.fail(fault{on: "^POST .*/git/commits", first: func() { mine = w.personCommits(pr.Head, "notes.txt", "my work\n") }})
	if _, err := w.client.Propose(t.Context(), p); err == nil || !strings.Contains(err.Error(), "moved by somebody else") {
		t.Errorf("got %v", err)
	}
	w.wire.healed(t)
	if got := w.propose(p, 1); !got.Human || w.head(pr.Head) != mine {
		t.Errorf("got %+v", got)
	}
}

func TestProposeDoesNotRebaseForNothing(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	w.personCommits("main", "README.md", "unrelated\n")
	p.Base = w.head("main")
	w.propose(p, 0)
	w.personCommits("main", "Dockerfile", "FROM base/debian:stable\nRUN something else\n") // conflicts with ours
	p.Base = w.head("main")
	again := w.propose(p, 4)
	if again.Number != pr.Number {
		t.Errorf("number %d became %d", pr.Number, again.Number)
	}
	if got := strings.TrimSpace(w.git("rev-parse", pr.Head+"^")); got != p.Base {
		t.Errorf("the new commit is on %s, not on %s", got, p.Base)
	}
	w.propose(p, 0)
}

func TestProposeAfterMerge(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	w.merge(pr.Number)
	got := w.propose(p, 0)
	if got.State != notify.Merged || got.Number != pr.Number || got.MergeCommit != w.head("main") {
		t.Errorf("got %+v", got)
	}
	next := w.proposal()
	next.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:2\n")
	second := w.propose(next, 3)
	if second.Number == pr.Number || second.Head != pr.Head+"-2" {
		t.Errorf("got %+v", second)
	}
	w.propose(next, 0)
}

// A merged change cannot be proposed again; what was proposed is found by the commit that it was made from.
func TestProposedIsFoundByItsBase(t *testing.T) {
	w := start(t)
	p := w.proposal()
	find := func(base string) (notify.PullRequest, error) {
		return w.client.Proposed(t.Context(), notify.Proposal{Key: p.Key, Repo: p.Repo, Branch: p.Branch, Slug: p.Slug, Base: base})
	}
	if _, err := find(p.Base); !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	pr := w.propose(p, 3)
	for _, want := range []notify.PullState{notify.Open, notify.Merged} {
		got, err := find(p.Base)
		if err != nil || got.Number != pr.Number || got.State != want {
			t.Errorf("want #%d %s: %+v (%v)", pr.Number, want, got, err)
		}
		if want == notify.Open {
			w.merge(pr.Number)
		}
	}
	if _, err := find(w.head("main")); !errors.Is(err, notify.ErrNotFound) {
		t.Errorf("from another commit: %v", err)
	}
}

func TestProposeFindsTheNewestOfManyBranches(t *testing.T) {
	w := start(t)
	var first notify.PullRequest
	for i := range 9 {
		p := w.proposal()
		p.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:" + strings.Repeat("x", i+1) + "\n")
		pr := w.propose(p, 3)
		if i == 0 {
			first = pr
		} else if want := first.Head + "-" + string(rune('1'+i)); pr.Head != want {
			t.Fatalf("pull request %d is on %s, want %s", i, pr.Head, want)
		}
		w.merge(pr.Number)
		before := w.wire.requests()
		if got := w.propose(p, 0); got.Number != pr.Number || got.State != notify.Merged {
			t.Fatalf("again: %+v", got)
		}
		if asked := w.wire.requests() - before; asked > 17 {
			t.Errorf("%d requests to find branch %d", asked, i+1)
		}
	}
}

func TestClosedMeansClosed(t *testing.T) {
	w := start(t)
	one, two, three := w.proposal(), w.proposal(), w.proposal()
	two.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:2\n")}
	three.Files = map[string][]byte{"Dockerfile": []byte("FROM base/debian:stable@sha256:3\n")}
	first := w.propose(one, 3)
	w.edit(first.Number, &github.PullRequest{State: github.String("closed")})
	one.Body = "other words"
	if got := w.propose(one, 0); got.State != notify.Closed || got.Number != first.Number {
		t.Errorf("the same again: %+v", got)
	}
	second := w.propose(two, 3)
	if second.Number == first.Number || second.State != notify.Open {
		t.Fatalf("another: %+v", second)
	}
	w.edit(second.Number, &github.PullRequest{State: github.String("closed")})
	if got := w.propose(one, 0); got.State != notify.Closed || got.Number != first.Number {
		t.Errorf("flipped back to what was closed before: %+v", got)
	}
	third := w.propose(three, 3)
	w.edit(third.Number, &github.PullRequest{State: github.String("closed")})
	if got := w.propose(one, 0); got.Number != first.Number {
		t.Errorf("flipped back once more: %+v", got)
	}
}

func TestProposeWhatIsThereAlready(t *testing.T) {
	w := start(t)
	p := w.proposal()
	p.Files["Dockerfile"] = []byte(dockerOld)
	if got := w.propose(p, 0); got.State != notify.Merged || got.Number != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestProposeStaysOffAStrangersBranch(t *testing.T) {
	w := start(t)
	p := w.proposal()
	pr := w.propose(p, 3)
	taken := pr.Head + "-2"
	w.merge(pr.Number)
	_, _, err := w.human.Git.CreateRef(t.Context(), "acme", "web", &github.Reference{
		Ref: github.String("refs/heads/" + taken), Object: &github.GitObject{SHA: github.String(w.head("main"))},
	})
	w.must(err)
	mine := w.personCommits(taken, "notes.txt", "my work\n")
	next := w.proposal()
	next.Files["Dockerfile"] = []byte("FROM base/debian:stable@sha256:2\n")
	got := w.propose(next, 3)
	if got.Head != pr.Head+"-3" || w.head(taken) != mine {
		t.Errorf("got %+v", got)
	}
	w.propose(next, 0)
}

func TestProposeRefusesNonsense(t *testing.T) {
	w := start(t)
	for name, spoil := range map[string]func(*notify.Proposal){
		"no key":         func(p *notify.Proposal) { p.Key = "" },
		"no files":       func(p *notify.Proposal) { p.Files = nil },
		"no base":        func(p *notify.Proposal) { p.Base = "" },
		"path upwards":   func(p *notify.Proposal) { p.Files["../x"] = nil },
		"absolute path":  func(p *notify.Proposal) { p.Files["/x"] = nil },
		"not a name":     func(p *notify.Proposal) { p.Repo = "web" },
		"missing base":   func(p *notify.Proposal) { p.Base = strings.Repeat("0", 40) },
		"missing branch": func(p *notify.Proposal) { p.Branch = "none" },
	} {
		p := w.proposal()
		spoil(&p)
		if _, err := w.client.Propose(t.Context(), p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if open := w.pulls(); len(open) != 0 {
		t.Errorf("%d pull requests were made", len(open))
	}
}
