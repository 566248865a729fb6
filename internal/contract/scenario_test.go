package contract

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/notify"
	ours "rebuilder/internal/notify/github"

	"github.com/google/go-github/v57/github"
)

// The repository of the scenario, and the files it needs.
const (
	organization = "acme"
	repository   = "acme/web"
	before       = "FROM base/debian:stable\nRUN true\n"
)

var files = map[string]string{
	"Dockerfile": before, "build/Dockerfile": before, ".github/workflows/ci.yml": "on: workflow_dispatch\n",
}

// stage is where the scenario plays: some GitHub, our client, and a person at the same repository.
type stage struct {
	client *ours.Client
	person *github.Client
	pr     notify.PullRequest
}

// newStage makes both clients for the API at a URL, ours as an App or by a token, with a transport that may look on.
func newStage(api string, transport http.RoundTripper, as *ours.App) (*stage, error) {
	config := ours.Config{BaseURL: api, Transport: transport, WritesPerSecond: 1e6, WriteBurst: 1000, RetryWait: time.Millisecond}
	if config.App = as; as == nil {
		config.Token = func(context.Context) (string, error) { return ourToken, nil }
	} else {
		config.Login = "acme-rebuilder[bot]"
	}
	client, err := ours.New(config)
	if err != nil {
		return nil, err
	}
	person := github.NewClient(&http.Client{Transport: transport}).WithAuthToken(personToken)
	person.BaseURL, err = url.Parse(api + "/")
	return &stage{client: client, person: person}, err
}

// step is one thing that our client does, and what has to be true afterwards.
type step struct {
	name string
	run  func(*stage, context.Context) error
}

// scenario is everything that the daemon does at a forge, in the order of a pull request's life.
func scenario() []step {
	return []step{
		{"find the branch", (*stage).findBranch},
		{"read a file", (*stage).readFile},
		{"miss a file", (*stage).missFile},
		{"list a tree and read a blob", (*stage).listTree},
		{"list the organization's repositories", (*stage).listRepositories},
		{"ask for the repository", (*stage).askRepository},
		{"propose a change", (*stage).propose},
		{"propose it again and write nothing", (*stage).proposeAgain},
		{"find what was proposed", (*stage).findProposed},
		{"update the proposal in place", (*stage).update},
		{"see the changed files", (*stage).seeFiles},
		{"leave a person's commit alone", (*stage).leavePersonAlone},
		{"close it with a reason", (*stage).closeIt},
		{"take a closed one for a no", (*stage).takeNo},
		{"propose the next digest", (*stage).proposeNext},
		{"follow the merge", (*stage).followMerge},
		{"need nothing where the change is in", (*stage).needNothing},
		{"dispatch an event", (*stage).dispatchEvent},
		{"dispatch a workflow", (*stage).dispatchWorkflow},
	}
}

// play runs the scenario and returns what went wrong, by step.
func play(ctx context.Context, s *stage, steps []step) map[string]error {
	wrong := map[string]error{}
	for _, one := range steps {
		if err := one.run(s, ctx); err != nil {
			wrong[one.name] = err
		}
	}
	return wrong
}

func want(what string, ok bool) error {
	if !ok {
		return errors.New("not so: " + what)
	}
	return nil
}

func (s *stage) head(ctx context.Context) (string, error) {
	return s.client.Head(ctx, repository, "main")
}

func (s *stage) findBranch(ctx context.Context) error {
	head, err := s.head(ctx)
	if err != nil {
		return err
	}
	if _, err := s.client.Head(ctx, repository, "none"); !errors.Is(err, notify.ErrNotFound) {
		return fmt.Errorf("a branch that is not there: %w", err)
	}
	return want("a commit has 40 digits", len(head) == 40)
}

func (s *stage) readFile(ctx context.Context) error {
	head, err := s.head(ctx)
	if err != nil {
		return err
	}
	content, err := s.client.ReadFile(ctx, repository, head, "build/Dockerfile")
	if err != nil {
		return err
	}
	return want("the file is what it was made from", string(content) == before)
}

func (s *stage) missFile(ctx context.Context) error {
	head, err := s.head(ctx)
	if err != nil {
		return err
	}
	if _, err = s.client.ReadFile(ctx, repository, head, "build/none"); errors.Is(err, notify.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("want not found, got %w", err)
}

func (s *stage) listTree(ctx context.Context) error {
	head, err := s.head(ctx)
	if err != nil {
		return err
	}
	tree, err := s.client.Tree(ctx, repository, head, true)
	if err != nil {
		return err
	}
	for _, e := range tree.Entries {
		if e.Path == "Dockerfile" {
			content, err := s.client.Blob(ctx, repository, e.SHA)
			return errors.Join(err, want("the blob is the file", string(content) == before))
		}
	}
	return errors.New("Dockerfile is not in the tree")
}

func (s *stage) listRepositories(ctx context.Context) error {
	all, _, _, err := s.client.Repositories(ctx, organization, "")
	if err != nil {
		return err
	}
	return want("the repository is listed", slices.ContainsFunc(all, func(r notify.Listed) bool { return r.Name == repository }))
}

func (s *stage) askRepository(ctx context.Context) error {
	r, err := s.client.Repository(ctx, repository)
	return errors.Join(err, want("it has its name", r.Name == repository))
}

// proposal pins the base in some files.
func (s *stage) proposal(ctx context.Context, digit string, paths ...string) (notify.Proposal, error) {
	head, err := s.head(ctx)
	digest := strings.Repeat(digit, 64)
	p := notify.Proposal{
		Key: repository + " main base/debian:stable", Repo: repository, Branch: "main", Slug: "base-debian-stable", Base: head,
		Files: map[string][]byte{}, Title: "Update base debian:stable to " + digest[:7], Body: "Why.\n", Labels: []string{"base-image"},
	}
	for _, path := range paths {
		p.Files[path] = []byte(strings.Replace(before, "base/debian:stable", "base/debian:stable@sha256:"+digest, 1))
	}
	return p, err
}

func (s *stage) send(ctx context.Context, digit string, paths ...string) (notify.PullRequest, error) {
	p, err := s.proposal(ctx, digit, paths...)
	if err != nil {
		return notify.PullRequest{}, err
	}
	return s.client.Propose(ctx, p)
}

func (s *stage) propose(ctx context.Context) (err error) {
	s.pr, err = s.send(ctx, "a", "Dockerfile")
	return errors.Join(err, want("it is open", s.pr.State == notify.Open && s.pr.Number > 0))
}

func (s *stage) proposeAgain(ctx context.Context) error {
	pr, err := s.send(ctx, "a", "Dockerfile")
	if err != nil {
		return err
	}
	if pr.Wrote != 0 {
		return fmt.Errorf("wrote %d times", pr.Wrote)
	}
	return want("it is the same one", pr.Number == s.pr.Number)
}

func (s *stage) findProposed(ctx context.Context) error {
	p, err := s.proposal(ctx, "a", "Dockerfile")
	if err != nil {
		return err
	}
	pr, err := s.client.Proposed(ctx, p)
	return errors.Join(err, want("it is the same one", pr.Number == s.pr.Number))
}

func (s *stage) update(ctx context.Context) error {
	pr, err := s.send(ctx, "b", "Dockerfile", "build/Dockerfile")
	if err != nil {
		return err
	}
	if pr.Number != s.pr.Number {
		return fmt.Errorf("number %d instead of %d", pr.Number, s.pr.Number)
	}
	s.pr = pr
	seen, err := s.client.PullRequest(ctx, repository, pr.Number)
	if err != nil {
		return err
	}
	ref, err := s.client.Head(ctx, repository, pr.Head)
	return errors.Join(err, want("the pull request is at its branch's head", seen.HeadCommit == ref), want("it is ours", !seen.Human))
}

func (s *stage) seeFiles(ctx context.Context) error {
	changed, _, err := s.person.PullRequests.ListFiles(ctx, organization, "web", s.pr.Number, nil)
	if err != nil {
		return err
	}
	return want("two files changed", len(changed) == 2)
}

func (s *stage) leavePersonAlone(ctx context.Context) error {
	_, _, err := s.person.Repositories.CreateFile(ctx, organization, "web", "mine.txt", &github.RepositoryContentFileOptions{
		Message: github.String("mine"), Content: []byte("mine"), Branch: &s.pr.Head,
		Author: &github.CommitAuthor{Name: github.String("Ada"), Email: github.String("ada@example.com")},
	})
	if err != nil {
		return err
	}
	mine, err := s.client.Head(ctx, repository, s.pr.Head)
	if err != nil {
		return err
	}
	pr, err := s.send(ctx, "c", "Dockerfile")
	if err != nil {
		return err
	}
	after, err := s.client.Head(ctx, repository, s.pr.Head)
	return errors.Join(err, want("it says that a person was there", pr.Human), want("the person's commit stays", after == mine))
}

func (s *stage) closeIt(ctx context.Context) error {
	if err := s.client.ClosePullRequest(ctx, repository, s.pr.Number, "Replaced."); err != nil {
		return err
	}
	pr, err := s.client.PullRequest(ctx, repository, s.pr.Number)
	return errors.Join(err, want("it is closed", pr.State == notify.Closed))
}

// takeNo lets a person close one: the same change is not proposed again.
func (s *stage) takeNo(ctx context.Context) error {
	pr, err := s.send(ctx, "d", "Dockerfile")
	if err != nil {
		return err
	}
	closed := "closed"
	if _, _, err := s.person.PullRequests.Edit(ctx, organization, "web", pr.Number, &github.PullRequest{State: &closed}); err != nil {
		return err
	}
	again, err := s.send(ctx, "d", "Dockerfile")
	return errors.Join(err, want("it stays closed", again.State == notify.Closed))
}

func (s *stage) proposeNext(ctx context.Context) (err error) {
	s.pr, err = s.send(ctx, "e", "Dockerfile")
	return errors.Join(err, want("it is open", s.pr.State == notify.Open))
}

func (s *stage) followMerge(ctx context.Context) error {
	options := &github.PullRequestOptions{SHA: s.pr.HeadCommit, MergeMethod: "squash"}
	if _, _, err := s.person.PullRequests.Merge(ctx, organization, "web", s.pr.Number, "", options); err != nil {
		return err
	}
	pr, err := s.client.PullRequest(ctx, repository, s.pr.Number)
	return errors.Join(err, want("it is merged", pr.State == notify.Merged))
}

func (s *stage) needNothing(ctx context.Context) error {
	pr, err := s.send(ctx, "e", "Dockerfile")
	return errors.Join(err, want("it is merged without a number", pr.State == notify.Merged), want("nothing was written", pr.Wrote == 0))
}

func (s *stage) dispatchEvent(ctx context.Context) error {
	return s.client.Dispatch(ctx, notify.Dispatch{Repo: repository, Key: "k", Event: "base-image-updated", Payload: map[string]string{"digest": "sha256:e"}})
}

func (s *stage) dispatchWorkflow(ctx context.Context) error {
	return s.client.Dispatch(ctx, notify.Dispatch{Repo: repository, Key: "k", Workflow: "ci.yml", Ref: "main", Payload: map[string]string{"digest": "sha256:e"}})
}
