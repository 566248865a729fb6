package forge

import "context"

type branchJSON struct {
	Label string    `json:"label"`
	Ref   string    `json:"ref"`
	SHA   string    `json:"sha"`
	User  *userJSON `json:"user"`
	Repo  object    `json:"repo"`
}

type autoMergeJSON struct {
	EnabledBy     *userJSON `json:"enabled_by"`
	MergeMethod   string    `json:"merge_method"`
	CommitTitle   string    `json:"commit_title"`
	CommitMessage string    `json:"commit_message"`
}

func (f *Forge) autoMerge(p *pull) *autoMergeJSON {
	if p.Auto == nil {
		return nil
	}
	return &autoMergeJSON{
		EnabledBy: f.user(p.Auto.By), MergeMethod: p.Auto.Method, CommitTitle: p.Auto.Title, CommitMessage: p.Auto.Message,
	}
}

type hrefJSON struct {
	Href string `json:"href"`
}

// pullJSON is a pull request in a list.
type pullJSON struct {
	URL                string              `json:"url"`
	ID                 int64               `json:"id"`
	NodeID             string              `json:"node_id"`
	HTMLURL            string              `json:"html_url"`
	DiffURL            string              `json:"diff_url"`
	PatchURL           string              `json:"patch_url"`
	IssueURL           string              `json:"issue_url"`
	CommitsURL         string              `json:"commits_url"`
	ReviewCommentsURL  string              `json:"review_comments_url"`
	ReviewCommentURL   string              `json:"review_comment_url"`
	CommentsURL        string              `json:"comments_url"`
	StatusesURL        string              `json:"statuses_url"`
	Number             int                 `json:"number"`
	State              string              `json:"state"`
	Locked             bool                `json:"locked"`
	Title              string              `json:"title"`
	User               *userJSON           `json:"user"`
	Body               *string             `json:"body"`
	Labels             []labelJSON         `json:"labels"`
	Milestone          *string             `json:"milestone"`
	ActiveLockReason   *string             `json:"active_lock_reason"`
	CreatedAt          string              `json:"created_at"`
	UpdatedAt          string              `json:"updated_at"`
	ClosedAt           *string             `json:"closed_at"`
	MergedAt           *string             `json:"merged_at"`
	MergeCommitSHA     *string             `json:"merge_commit_sha"`
	Assignee           *userJSON           `json:"assignee"`
	Assignees          []*userJSON         `json:"assignees"`
	RequestedReviewers []*userJSON         `json:"requested_reviewers"`
	RequestedTeams     []object            `json:"requested_teams"`
	Head               branchJSON          `json:"head"`
	Base               branchJSON          `json:"base"`
	Links              map[string]hrefJSON `json:"_links"`
	AuthorAssociation  string              `json:"author_association"`
	AutoMerge          *autoMergeJSON      `json:"auto_merge"`
	Draft              bool                `json:"draft"`
}

// fullPullJSON is a pull request asked for by its number.
type fullPullJSON struct {
	pullJSON
	Merged              bool      `json:"merged"`
	Mergeable           *bool     `json:"mergeable"`
	Rebaseable          *bool     `json:"rebaseable"`
	MergeableState      string    `json:"mergeable_state"`
	MergedBy            *userJSON `json:"merged_by"`
	Comments            int       `json:"comments"`
	ReviewComments      int       `json:"review_comments"`
	MaintainerCanModify bool      `json:"maintainer_can_modify"`
	Commits             int       `json:"commits"`
	Additions           int       `json:"additions"`
	Deletions           int       `json:"deletions"`
	ChangedFiles        int       `json:"changed_files"`
}

func (f *Forge) pull(ctx context.Context, r *repository, p *pull) pullJSON {
	head, base := f.heads(ctx, r, p)
	self, issue := f.repoAPI(r, "/pulls/%d", p.Number), f.repoAPI(r, "/issues/%d", p.Number)
	web := f.repoWeb(r, "/pull/%d", p.Number)
	j := pullJSON{
		URL: self, ID: p.ID, NodeID: nodeID("PullRequest", p.ID), HTMLURL: web, DiffURL: web + ".diff",
		PatchURL: web + ".patch", IssueURL: issue, CommitsURL: self + "/commits",
		ReviewCommentsURL: self + "/comments", ReviewCommentURL: f.repoAPI(r, "/pulls/comments{/number}"),
		CommentsURL: issue + "/comments", StatusesURL: f.repoAPI(r, "/statuses/%s", head),
		Number: p.Number, State: p.State, Title: p.Title, User: f.user(p.Author), Body: orNull(p.Body),
		Labels: f.labels(r, p.Labels), CreatedAt: stamp(p.Created), UpdatedAt: stamp(p.Updated),
		ClosedAt: stampOrNull(p.Closed), MergedAt: stampOrNull(p.Merged), MergeCommitSHA: orNull(p.MergeSHA),
		Assignees: []*userJSON{}, RequestedReviewers: f.users(p.Requested), RequestedTeams: []object{}, Draft: p.Draft,
		AutoMerge: f.autoMerge(p),
		Head:      f.branchEnd(r, p.Head, head), Base: f.branchEnd(r, p.Base, base), AuthorAssociation: "MEMBER",
	}
	j.Links = map[string]hrefJSON{
		"self": {j.URL}, "html": {j.HTMLURL}, "issue": {j.IssueURL}, "comments": {j.CommentsURL},
		"review_comments": {j.ReviewCommentsURL}, "review_comment": {j.ReviewCommentURL},
		"commits": {j.CommitsURL}, "statuses": {j.StatusesURL},
	}
	return j
}

func (f *Forge) branchEnd(r *repository, branch, sha string) branchJSON {
	return branchJSON{
		Label: r.Owner + ":" + branch, Ref: branch, SHA: sha, User: f.user(r.Owner), Repo: f.repository(r),
	}
}

func (f *Forge) fullPull(ctx context.Context, r *repository, p *pull) fullPullJSON {
	git := f.git(r)
	head, base := f.heads(ctx, r, p)
	start := git.mergeBase(ctx, base, head)
	j := fullPullJSON{
		pullJSON: f.pull(ctx, r, p), Merged: p.Merged != nil, MergedBy: f.user(p.MergedBy),
		Comments: len(p.Comments), MaintainerCanModify: p.MaintainerCanModify, Commits: git.count(ctx, start+".."+head),
	}
	j.Mergeable, j.MergeableState = f.mergeable(ctx, r, p)
	j.Rebaseable = j.Mergeable
	files := f.files(ctx, r, start, head)
	j.ChangedFiles = len(files)
	for _, file := range files {
		j.Additions += file.Additions
		j.Deletions += file.Deletions
	}
	return j
}

// mergeable says whether and why not; nil when the pull request is closed, or nobody asked since its ends moved.
func (f *Forge) mergeable(ctx context.Context, r *repository, p *pull) (can *bool, state string) {
	if p.State != "open" {
		return nil, "unknown"
	}
	head, base := f.heads(ctx, r, p)
	if ends := head + ".." + base; f.cfg.Asynchronous && p.Judged != ends {
		p.Judged = ends
		return nil, "unknown"
	}
	_, clean := f.git(r).mergeTree(ctx, base, head)
	protection := r.Protected[p.Base]
	switch {
	case !clean:
		state = "dirty"
	case p.Draft:
		state = "draft"
	case protection != nil && protection.missing(r, p, head) != "":
		state = "blocked"
	case protection != nil && protection.UpToDate && !f.git(r).isAncestor(ctx, base, head):
		state = "behind"
	case r.anyBadCheck(head):
		state = "unstable"
	default:
		state = "clean"
	}
	return &clean, state
}

// heads returns the commits at both ends of a pull request.
func (f *Forge) heads(ctx context.Context, r *repository, p *pull) (head, base string) {
	if p.State != "open" {
		return p.HeadSHA, p.BaseSHA
	}
	return f.git(r).head(ctx, p.Head), f.git(r).head(ctx, p.Base)
}
