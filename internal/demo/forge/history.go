package forge

import "strings"

type shortBranchJSON struct {
	Name      string `json:"name"`
	Commit    any    `json:"commit"`
	Protected bool   `json:"protected"`

	Links         map[string]string `json:"_links"`
	Protection    object            `json:"protection"`
	ProtectionURL string            `json:"protection_url"`
}

func getBranch(c *call) reply {
	branch := c.r.PathValue("branch")
	if name, is := strings.CutSuffix(branch, "/protection"); is {
		return getProtection(c, name)
	}
	tip, err := c.git.commit(c.ctx, "refs/heads/"+branch)
	if err != nil {
		return notFound()
	}
	self := c.f.repoAPI(c.repo, "/branches/%s", escapePath(branch))
	return ok(shortBranchJSON{
		Name: branch, Commit: c.f.commit(c.repo, tip),
		Links:      map[string]string{"self": self, "html": c.f.repoWeb(c.repo, "/tree/%s", escapePath(branch))},
		Protected:  c.repo.Protected[branch] != nil,
		Protection: protectionJSON(c.repo.Protected[branch]), ProtectionURL: self + "/protection",
	})
}

func listCommits(c *call) reply {
	query := c.r.URL.Query()
	start := query.Get("sha")
	if start == "" {
		start = c.repo.Default
	}
	sha := c.git.resolve(c.ctx, start)
	if sha == "" {
		return notFound()
	}
	args := []string{"-1000", sha, "--"}
	if path := query.Get("path"); path != "" {
		args = append(args, path)
	}
	all, err := c.git.commits(c.ctx, args...)
	if err != nil {
		return notFound()
	}
	return page(c, c.f.commits(c.repo, all))
}

// commitsBelow answers what lies below /commits/{ref}: a ref may have slashes in it, which a route cannot say.
func commitsBelow(c *call) reply {
	name := c.r.PathValue("ref")
	for suffix, h := range map[string]func(*call, string) reply{
		"/check-runs": listChecks, "/status": combinedStatus, "/statuses": listStatuses,
	} {
		if ref, is := strings.CutSuffix(name, suffix); is {
			return c.atCommit(ref, h)
		}
	}
	return c.atCommit(name, getCommit)
}

func (c *call) atCommit(ref string, h func(*call, string) reply) reply {
	sha := c.git.resolve(c.ctx, ref)
	if sha == "" {
		return invalid("No commit found for SHA: " + ref)
	}
	return h(c, sha)
}

func getCommit(c *call, sha string) reply {
	found, err := c.git.commit(c.ctx, sha)
	if err != nil {
		return notFound()
	}
	parent := emptyTree
	if len(found.Parents) > 0 {
		parent = found.Parents[0]
	}
	type stats struct {
		Additions int `json:"additions"`
		Deletions int `json:"deletions"`
		Total     int `json:"total"`
	}
	out := struct {
		commitJSON
		Stats stats      `json:"stats"`
		Files []fileJSON `json:"files"`
	}{commitJSON: c.f.commit(c.repo, found), Files: c.f.files(c.ctx, c.repo, parent, sha)}
	for _, file := range out.Files {
		out.Stats.Additions += file.Additions
		out.Stats.Deletions += file.Deletions
		out.Stats.Total += file.Changes
	}
	return ok(out)
}

// emptyTree is git's well-known tree without entries.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

type comparisonJSON struct {
	URL             string       `json:"url"`
	HTMLURL         string       `json:"html_url"`
	PermalinkURL    string       `json:"permalink_url"`
	DiffURL         string       `json:"diff_url"`
	PatchURL        string       `json:"patch_url"`
	BaseCommit      commitJSON   `json:"base_commit"`
	MergeBaseCommit commitJSON   `json:"merge_base_commit"`
	Status          string       `json:"status"`
	AheadBy         int          `json:"ahead_by"`
	BehindBy        int          `json:"behind_by"`
	TotalCommits    int          `json:"total_commits"`
	Commits         []commitJSON `json:"commits"`
	Files           []fileJSON   `json:"files"`
}

func compare(c *call) reply {
	span := c.r.PathValue("basehead")
	from, to, is := strings.Cut(span, "...")
	base, head := c.git.resolve(c.ctx, from), c.git.resolve(c.ctx, to)
	if !is || base == "" || head == "" {
		return notFound()
	}
	start := c.git.mergeBase(c.ctx, base, head)
	baseCommit, err := c.git.commit(c.ctx, base)
	if err != nil {
		return notFound()
	}
	startCommit, err := c.git.commit(c.ctx, start)
	if err != nil {
		return notFound()
	}
	between, err := c.git.commits(c.ctx, "--reverse", start+".."+head, "--")
	if err != nil {
		return notFound()
	}
	web := c.f.repoWeb(c.repo, "/compare/%s", span)
	out := comparisonJSON{
		URL: c.f.repoAPI(c.repo, "/compare/%s", span), HTMLURL: web, PermalinkURL: web, DiffURL: web + ".diff",
		PatchURL: web + ".patch", BaseCommit: c.f.commit(c.repo, baseCommit),
		MergeBaseCommit: c.f.commit(c.repo, startCommit), AheadBy: c.git.count(c.ctx, base+".."+head),
		BehindBy: c.git.count(c.ctx, head+".."+base), Commits: c.f.commits(c.repo, between),
		Files: c.f.files(c.ctx, c.repo, start, head),
	}
	out.TotalCommits, out.Status = out.AheadBy, comparisonStatus(out.AheadBy, out.BehindBy)
	return ok(out)
}

func comparisonStatus(ahead, behind int) string {
	switch {
	case ahead > 0 && behind > 0:
		return "diverged"
	case ahead > 0:
		return "ahead"
	case behind > 0:
		return "behind"
	}
	return "identical"
}
