package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"rebuilder/internal/notify"

	"github.com/google/go-github/v57/github"
)

// Config says which GitHub, as whom, and how gently. BaseURL is needed, and one of Token and App.
type Config struct {
	// BaseURL is the API's root: "https://api.github.com", "https://api.acme.ghe.com", or
	// "https://ghe.example.com/api/v3", with or without a slash at its end.
	BaseURL string
	// Token is asked before each request. It is sent to BaseURL's host only, and never logged.
	Token func(context.Context) (string, error)
	// App has a token made for each account that the App is installed in.
	App *App
	// Login is whom the commits are made by ("acme-rebuilder[bot]" for an App). Empty asks GitHub once.
	Login string
	// Line is where all who write stand. Nil is one of this client alone, at the rate below, which waits for no limit
	// that the forge announces: the caller hears of it.
	Line notify.Line

	Log       *slog.Logger      // nil discards
	Transport http.RoundTripper // what sends in the end; nil is a transport of its own

	WritesPerSecond float64 // content-creating calls without Line; zero is 1, GitHub allows 80 a minute
	WriteBurst      int     // how many may go at once; zero is 20
	// Now and Sleep are the clock that limits are counted by; nil: the real one.
	Now            func() time.Time
	Sleep          func(context.Context, time.Duration) error
	ReadsPerSecond float64       // from each installation; zero is 8, which leaves room for writes
	RetryWait      time.Duration // before the first repetition of a failed request; zero is 500 ms
}

// Client is a notify.Forge. It may be used by several goroutines; writes are made by one at a time.
type Client struct {
	cfg    Config
	api    *github.Client
	apps   *apps // nil: a token
	log    *slog.Logger
	shared bool // the line waits for limits that the forge announces

	mu    sync.Mutex
	login string
	asked bool
}

var _ notify.Forge = (*Client)(nil)

// New checks the configuration; it sends nothing.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(cfg.BaseURL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("github: base URL: %w", err)
	case base.Scheme != "https" && base.Scheme != "http", base.Host == "":
		return nil, fmt.Errorf("github: base URL %q: want one like https://api.github.com", cfg.BaseURL)
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("github: base URL: credentials, query and fragment do not belong there")
	case (cfg.Token == nil) == (cfg.App == nil):
		return nil, errors.New("github: a token or an App is needed, and not both")
	case cfg.App != nil && (cfg.App.ID <= 0 || cfg.App.Key == nil):
		return nil, errors.New("github: the App's id and private key are needed")
	}
	base.Path = strings.TrimSuffix(base.Path, "/") + "/"
	shared := cfg.Line != nil
	setDefaults(&cfg)
	c := &Client{cfg: cfg, log: cfg.Log, shared: shared, login: cfg.Login, asked: cfg.Login != ""}
	transport, apps := newTransport(cfg, base)
	c.apps = apps
	c.api = github.NewClient(&http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // followed below
	})
	c.api.BaseURL, c.api.UserAgent = base, "rebuilder"
	return c, nil
}

func setDefaults(cfg *Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.WritesPerSecond == 0 {
		cfg.WritesPerSecond = 1
	}
	if cfg.WriteBurst == 0 {
		cfg.WriteBurst = 20
	}
	if cfg.ReadsPerSecond == 0 {
		cfg.ReadsPerSecond = 8
	}
	if cfg.RetryWait == 0 {
		cfg.RetryWait = 500 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Line == nil {
		cfg.Line = newAlone(*cfg)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// target is a repository's full name, taken apart.
type target struct{ owner, name string }

func (t target) String() string { return t.owner + "/" + t.name }

func parseRepo(repo string) (target, error) {
	owner, name, ok := strings.Cut(repo, "/")
	if !ok || owner == "" || name == "" || strings.ContainsAny(name, "/?#%") || strings.ContainsAny(owner, "?#%") {
		return target{}, fmt.Errorf("repository %q: want owner/name", repo)
	}
	return target{owner, name}, nil
}

// Head implements notify.Forge. A repository without any commit has no branches.
func (c *Client) Head(ctx context.Context, repo, branch string) (string, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return "", err
	}
	ref, resp, err := c.api.Git.GetRef(ctx, t.owner, t.name, "heads/"+branch)
	if resp != nil && resp.StatusCode == http.StatusConflict { // "Git Repository is empty."
		return "", fmt.Errorf("branch %s of %s: the repository is empty: %w", branch, t, notify.ErrNotFound)
	}
	if err != nil {
		return "", explain(fmt.Sprintf("branch %s of %s", branch, t), err)
	}
	return ref.GetObject().GetSHA(), nil
}

// ReadFile implements notify.Forge. Directories, submodules and links to elsewhere are errors.
func (c *Client) ReadFile(ctx context.Context, repo, commit, path string) ([]byte, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("file %s of %s@%s", path, t, commit)
	// Not DownloadContents: it returns the text of a 404 page as the file's content.
	options := &github.RepositoryContentGetOptions{Ref: commit}
	file, _, _, err := c.api.Repositories.GetContents(ctx, t.owner, t.name, path, options)
	if err != nil {
		return nil, explain(what, err)
	}
	if file == nil || file.GetType() != "file" {
		return nil, fmt.Errorf("%s: not a regular file", what)
	}
	if file.GetEncoding() == "none" || file.Content == nil { // larger than 1 MB
		return c.readBlob(ctx, t, what, file.GetSHA())
	}
	content, err := file.GetContent()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return []byte(content), nil
}

func (c *Client) readBlob(ctx context.Context, t target, what, sha string) ([]byte, error) {
	blob, _, err := c.api.Git.GetBlob(ctx, t.owner, t.name, sha)
	if err != nil {
		return nil, explain(what, err)
	}
	content, err := decodeBase64(blob.GetContent())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return content, nil
}

// PullRequest implements notify.Forge.
func (c *Client) PullRequest(ctx context.Context, repo string, number int) (notify.PullRequest, error) {
	t, err := parseRepo(repo)
	if err != nil {
		return notify.PullRequest{}, err
	}
	what := fmt.Sprintf("pull request %s#%d", t, number)
	pr, _, err := c.api.PullRequests.Get(ctx, t.owner, t.name, number)
	if err != nil {
		return notify.PullRequest{}, explain(what, err)
	}
	out := pullRequest(t, pr)
	out.Outdated = outdated(pr)
	mark, ok := findMarker(pr.GetBody())
	if out.State != notify.Open || !ok || mark.Commit == out.HeadCommit {
		return out, nil
	}
	head, _, err := c.api.Repositories.GetCommit(ctx, t.owner, t.name, out.HeadCommit, nil)
	if err != nil {
		return notify.PullRequest{}, explain(what, err)
	}
	mine, err := c.isOurs(ctx, head, pr, mark)
	out.Human = !mine
	return out, err
}

// maxPayload is what a dispatch may carry beside its key; GitHub allows ten members.
const maxPayload = 9

// Dispatch implements notify.Forge. The key travels as the member "key", which a workflow has to declare as an input.
func (c *Client) Dispatch(ctx context.Context, d notify.Dispatch) error {
	t, err := parseRepo(d.Repo)
	if err != nil {
		return err
	}
	what := "dispatch " + t.String()
	switch {
	case len(d.Payload) > maxPayload:
		return fmt.Errorf("%s: %d payload entries, at most %d can be sent", what, len(d.Payload), maxPayload)
	case d.Workflow == "" && (d.Event == "" || len(d.Event) > 100):
		return fmt.Errorf("%s: event %q: want 1 to 100 characters", what, d.Event)
	case d.Workflow != "" && d.Ref == "":
		return fmt.Errorf("%s: workflow %s: a ref is needed", what, d.Workflow)
	}
	payload := map[string]any{}
	for name, value := range d.Payload {
		payload[name] = value
	}
	payload["key"] = d.Key
	return explain(what, c.inTurn(ctx, t, what+" "+d.Key, func(ctx context.Context) error {
		return c.write(ctx, func() error { return c.dispatch(ctx, t, d, payload) })
	}))
}

// dispatch takes 204 and the 200 of newer API versions alike.
func (c *Client) dispatch(ctx context.Context, t target, d notify.Dispatch, payload map[string]any) error {
	if d.Workflow != "" {
		event := github.CreateWorkflowDispatchEventRequest{Ref: d.Ref, Inputs: payload}
		_, err := c.api.Actions.CreateWorkflowDispatchEventByFileName(ctx, t.owner, t.name, d.Workflow, event)
		return err
	}
	data, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	raw := json.RawMessage(data)
	options := github.DispatchRequestOptions{EventType: d.Event, ClientPayload: &raw}
	_, _, err = c.api.Repositories.Dispatch(ctx, t.owner, t.name, options)
	return err
}

// pullRequest translates GitHub's document. A pull request in a list has merged_at and no merged.
func pullRequest(t target, pr *github.PullRequest) notify.PullRequest {
	out := notify.PullRequest{
		Repo: t.String(), Number: pr.GetNumber(), URL: pr.GetHTMLURL(), Head: pr.GetHead().GetRef(),
		HeadCommit: pr.GetHead().GetSHA(), State: notify.Open, Draft: pr.GetDraft(), Never: hasLabel(pr, neverLabel),
	}
	switch {
	case pr.GetMerged() || pr.MergedAt != nil:
		out.State, out.MergeCommit = notify.Merged, pr.GetMergeCommitSHA()
	case pr.GetState() == "closed":
		out.State = notify.Closed
	}
	return out
}
