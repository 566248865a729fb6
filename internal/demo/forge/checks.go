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

func (f *Forge) check(r *repository, k *check) checkJSON {
	self, web := f.repoAPI(r, "/check-runs/%d", k.ID), f.repoWeb(r, "/runs/%d", k.ID)
	details := k.DetailsURL
	if details == "" {
		details = web
	}
	return checkJSON{
		ID: k.ID, NodeID: nodeID("CheckRun", k.ID), HeadSHA: k.SHA, ExternalID: k.ExternalID, URL: self,
		HTMLURL: web, DetailsURL: &details, Status: k.Status,
		Conclusion: orNull(k.Conclusion), StartedAt: stamp(k.Started), CompletedAt: stampOrNull(k.Completed),
		Output: outputJSON{
			Title: k.OutputTitle, Summary: k.OutputSummary, Text: k.Text, AnnotationsURL: self + "/annotations",
		},
		Name: k.Name, CheckSuite: map[string]int64{"id": f.suiteID(r, k.SHA)}, App: f.ci(r), PullRequests: []object{},
	}
}

// ci is the CI's GitHub App.
func (f *Forge) ci(r *repository) object {
	return object{
		"id": 1, "slug": "ci", "node_id": nodeID("App", 1), "client_id": "Iv1.ci", "owner": f.user(r.Owner),
		"name": "CI", "description": "", "external_url": f.cfg.BaseURL, "html_url": f.cfg.BaseURL + "/apps/ci",
		"created_at": stamp(r.Created), "updated_at": stamp(r.Created), "events": []string{"push"},
		"permissions": object{"checks": "write", "metadata": "read"},
	}
}

// suiteID returns the number of a commit's check suite.
func (f *Forge) suiteID(r *repository, sha string) int64 {
	if r.Suites == nil {
		r.Suites = map[string]int64{}
	}
	if r.Suites[sha] == 0 {
		r.Suites[sha] = f.state.nextID()
	}
	return r.Suites[sha]
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
	c.checked(k, "created")
	return created(c.f.check(c.repo, k))
}

func updateCheck(c *call) reply {
	var in newCheck
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	for _, k := range c.repo.Checks {
		if strconv.FormatInt(k.ID, 10) == c.r.PathValue("id") {
			in.apply(k, c.f.now())
			c.checked(k, "")
			return ok(c.f.check(c.repo, k))
		}
	}
	return notFound()
}

// checked tells of a check that was made or ended.
func (c *call) checked(k *check, action string) {
	if k.Status == "completed" {
		action = "completed"
	}
	if action != "" {
		c.f.hook(c.repo, "check_run", func() any { return c.f.checkEvent(c.repo, k, action) })
	}
	c.f.mergeWaiting(c.ctx, c.repo)
}

func (f *Forge) checkEvent(r *repository, k *check, action string) object {
	self := f.repoAPI(r, "/check-suites/%d", f.suiteID(r, k.SHA))
	shown := f.check(r, k)
	suite := object{
		"id": f.suiteID(r, k.SHA), "node_id": nodeID("CheckSuite", f.suiteID(r, k.SHA)), "head_branch": nil, "head_sha": k.SHA, "status": k.Status,
		"conclusion": orNull(k.Conclusion), "url": self, "before": nil, "after": k.SHA, "pull_requests": []object{}, "app": f.ci(r),
		"created_at": stamp(k.Started), "updated_at": stamp(k.Started),
	}
	return object{
		"action": action, "check_run": struct {
			checkJSON
			CheckSuite object `json:"check_suite"`
		}{shown, suite},
		"repository": f.repository(r), "organization": f.organization(r.Owner), "sender": f.user(r.Owner),
	}
}

func listChecks(c *call, sha string) reply {
	runs := []checkJSON{}
	for _, k := range c.repo.latestChecks(sha, c.r.URL.Query().Get("filter") == "all") {
		runs = append(runs, c.f.check(c.repo, k))
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

// latestStatuses returns the newest status of each context on a commit.
func (r *repository) latestStatuses(sha string) []*status {
	var found []*status
	seen := map[string]bool{}
	for _, s := range slices.Backward(r.Statuses) {
		if s.SHA == sha && !seen[s.Context] {
			seen[s.Context] = true
			found = append(found, s)
		}
	}
	return found
}

// anyBadCheck says whether a check or status on the commit is not green (yet).
func (r *repository) anyBadCheck(sha string) bool {
	return slices.ContainsFunc(r.latestChecks(sha, false), func(k *check) bool { return outcome(k) != "success" }) ||
		slices.ContainsFunc(r.latestStatuses(sha), func(s *status) bool { return s.State != "success" })
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
	c.f.hook(c.repo, "status", func() any { return c.statusEvent(s) })
	c.f.mergeWaiting(c.ctx, c.repo)
	made := created(c.status(s))
	made.header = location(c.f.repoAPI(c.repo, "/statuses/%s", sha))
	return made
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

func (c *call) statusEvent(s *status) object {
	tip, _ := c.git.commit(c.ctx, s.SHA)
	return object{
		"id": s.ID, "sha": s.SHA, "name": c.repo.Owner + "/" + c.repo.Name, "target_url": orNull(s.Target), "avatar_url": c.f.cfg.BaseURL + "/avatars/" + s.Creator,
		"context": s.Context, "description": orNull(s.Description), "state": s.State, "commit": c.f.commit(c.repo, tip), "branches": []object{},
		"created_at": stamp(s.Created), "updated_at": stamp(s.Created), "repository": c.f.repository(c.repo),
		"organization": c.f.organization(c.repo.Owner), "sender": c.f.user(c.who),
	}
}

// combinedStatus takes the newest status of each context: one failure fails, one pending is pending.
func combinedStatus(c *call, sha string) reply {
	latest := []statusJSON{}
	state := "success"
	for _, s := range c.repo.latestStatuses(sha) {
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
