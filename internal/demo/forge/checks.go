package forge

import (
	"slices"
	"strconv"
	"time"
)

type outputJSON struct {
	Title            *string `json:"title"`
	Summary          *string `json:"summary"`
	Text             *string `json:"text"`
	AnnotationsCount int     `json:"annotations_count"`
	AnnotationsURL   string  `json:"annotations_url"`
}

type checkJSON struct {
	ID           int64            `json:"id"`
	NodeID       string           `json:"node_id"`
	HeadSHA      string           `json:"head_sha"`
	ExternalID   string           `json:"external_id"`
	URL          string           `json:"url"`
	HTMLURL      string           `json:"html_url"`
	DetailsURL   *string          `json:"details_url"`
	Status       string           `json:"status"`
	Conclusion   *string          `json:"conclusion"`
	StartedAt    string           `json:"started_at"`
	CompletedAt  *string          `json:"completed_at"`
	Output       outputJSON       `json:"output"`
	Name         string           `json:"name"`
	CheckSuite   map[string]int64 `json:"check_suite"`
	App          object           `json:"app"`
	PullRequests []object         `json:"pull_requests"`
}

func (c *call) check(k *check) checkJSON {
	self := c.f.repoAPI(c.repo, "/check-runs/%d", k.ID)
	return checkJSON{
		ID: k.ID, NodeID: nodeID("CheckRun", k.ID), HeadSHA: k.SHA, ExternalID: k.ExternalID, URL: self,
		HTMLURL: c.f.repoWeb(c.repo, "/runs/%d", k.ID), DetailsURL: orNull(k.DetailsURL), Status: k.Status,
		Conclusion: orNull(k.Conclusion), StartedAt: stamp(k.Started), CompletedAt: stampOrNull(k.Completed),
		Output: outputJSON{
			Title: k.OutputTitle, Summary: k.OutputSummary, Text: k.Text, AnnotationsURL: self + "/annotations",
		},
		Name: k.Name, CheckSuite: map[string]int64{"id": 1}, App: c.app(), PullRequests: []object{},
	}
}

// app is the CI's GitHub App.
func (c *call) app() object {
	return object{
		"id": 1, "slug": "ci", "node_id": nodeID("App", 1), "client_id": "Iv1.ci", "owner": c.f.user(c.repo.Owner),
		"name": "CI", "description": "", "external_url": c.f.cfg.BaseURL, "html_url": c.f.cfg.BaseURL + "/apps/ci",
		"created_at": stamp(c.repo.Created), "updated_at": stamp(c.repo.Created), "events": []string{"push"},
		"permissions": object{"checks": "write", "metadata": "read"},
	}
}

// newCheck is what a check run's creation and update have in common; nil leaves a member as it is.
type newCheck struct {
	Name        *string
	HeadSHA     string  `json:"head_sha"`
	DetailsURL  *string `json:"details_url"`
	ExternalID  *string `json:"external_id"`
	Status      *string
	Conclusion  *string
	StartedAt   *time.Time `json:"started_at"`
	CompletedAt *time.Time `json:"completed_at"`
	Output      *struct{ Title, Summary, Text *string }
}

func (in newCheck) apply(k *check, now time.Time) {
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&k.Name, in.Name)
	set(&k.DetailsURL, in.DetailsURL)
	set(&k.ExternalID, in.ExternalID)
	set(&k.Status, in.Status)
	set(&k.Conclusion, in.Conclusion)
	if in.StartedAt != nil {
		k.Started = *in.StartedAt
	}
	if in.Output != nil {
		k.OutputTitle, k.OutputSummary, k.Text = in.Output.Title, in.Output.Summary, in.Output.Text
	}
	if k.Conclusion != "" && k.Completed == nil {
		k.Status, k.Completed = "completed", &now
	}
	if in.CompletedAt != nil {
		k.Completed = in.CompletedAt
	}
}

func createCheck(c *call) reply {
	var in newCheck
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if c.git.rev(c.ctx, in.HeadSHA+"^{commit}") == "" {
		return invalid("No commit found for SHA: " + in.HeadSHA)
	}
	k := &check{ID: c.f.state.nextID(), SHA: in.HeadSHA, Status: "queued", Started: c.f.now()}
	in.apply(k, c.f.now())
	c.repo.Checks = append(c.repo.Checks, k)
	return created(c.check(k))
}

func updateCheck(c *call) reply {
	var in newCheck
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	for _, k := range c.repo.Checks {
		if strconv.FormatInt(k.ID, 10) == c.r.PathValue("id") {
			in.apply(k, c.f.now())
			return ok(c.check(k))
		}
	}
	return notFound()
}

func listChecks(c *call, sha string) reply {
	runs := []checkJSON{}
	for _, k := range c.repo.latestChecks(sha, c.r.URL.Query().Get("filter") == "all") {
		runs = append(runs, c.check(k))
	}
	return ok(struct {
		TotalCount int         `json:"total_count"`
		CheckRuns  []checkJSON `json:"check_runs"`
	}{len(runs), runs})
}

// latestChecks returns the newest run of each name on a commit, or every run.
func (r *repository) latestChecks(sha string, all bool) []*check {
	var found []*check
	seen := map[string]bool{}
	for _, k := range slices.Backward(r.Checks) {
		if k.SHA == sha && (all || !seen[k.Name]) {
			seen[k.Name] = true
			found = append(found, k)
		}
	}
	return found
}

// anyBadCheck says whether a check on the commit is not green (yet).
func (r *repository) anyBadCheck(sha string) bool {
	return slices.ContainsFunc(r.latestChecks(sha, false), func(k *check) bool {
		return !slices.Contains([]string{"success", "neutral", "skipped"}, k.Conclusion)
	})
}

type statusJSON struct {
	URL         string    `json:"url"`
	AvatarURL   string    `json:"avatar_url"`
	ID          int64     `json:"id"`
	NodeID      string    `json:"node_id"`
	State       string    `json:"state"`
	Description *string   `json:"description"`
	TargetURL   *string   `json:"target_url"`
	Context     string    `json:"context"`
	CreatedAt   string    `json:"created_at"`
	UpdatedAt   string    `json:"updated_at"`
	Creator     *userJSON `json:"creator,omitempty"`
}

func (c *call) status(s *status) statusJSON {
	return statusJSON{
		URL: c.f.repoAPI(c.repo, "/statuses/%s", s.SHA), AvatarURL: c.f.cfg.BaseURL + "/avatars/" + s.Creator,
		ID: s.ID, NodeID: nodeID("Status", s.ID), State: s.State, Description: orNull(s.Description),
		TargetURL: orNull(s.Target), Context: s.Context, CreatedAt: stamp(s.Created), UpdatedAt: stamp(s.Created),
		Creator: c.f.user(s.Creator),
	}
}

func createStatus(c *call) reply {
	var in struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	sha := c.git.rev(c.ctx, c.r.PathValue("sha")+"^{commit}")
	if sha == "" {
		return invalid("No commit found for SHA: " + c.r.PathValue("sha"))
	}
	if in.Context == "" {
		in.Context = "default"
	}
	s := &status{
		ID: c.f.state.nextID(), SHA: sha, State: in.State, Context: in.Context, Target: in.TargetURL,
		Creator: c.who, Description: in.Description, Created: c.f.now(),
	}
	c.repo.Statuses = append(c.repo.Statuses, s)
	return created(c.status(s))
}

func listStatuses(c *call, sha string) reply {
	all := []statusJSON{}
	for _, s := range slices.Backward(c.repo.Statuses) {
		if s.SHA == sha {
			all = append(all, c.status(s))
		}
	}
	return page(c, all)
}

// combinedStatus takes the newest status of each context: one failure fails, one pending is pending.
func combinedStatus(c *call, sha string) reply {
	latest, seen := []statusJSON{}, map[string]bool{}
	state := "success"
	for _, s := range slices.Backward(c.repo.Statuses) {
		if s.SHA != sha || seen[s.Context] {
			continue
		}
		seen[s.Context] = true
		j := c.status(s)
		j.Creator = nil
		latest = append(latest, j)
		switch {
		case s.State == "failure" || s.State == "error":
			state = "failure"
		case s.State == "pending" && state != "failure":
			state = "pending"
		}
	}
	if len(latest) == 0 {
		state = "pending"
	}
	return ok(struct {
		State      string       `json:"state"`
		Statuses   []statusJSON `json:"statuses"`
		SHA        string       `json:"sha"`
		TotalCount int          `json:"total_count"`
		Repository object       `json:"repository"`
		CommitURL  string       `json:"commit_url"`
		URL        string       `json:"url"`
	}{
		state, latest, sha, len(latest), c.f.minimalRepository(c.repo),
		c.f.repoAPI(c.repo, "/commits/%s", sha), c.f.repoAPI(c.repo, "/commits/%s/status", sha),
	})
}
