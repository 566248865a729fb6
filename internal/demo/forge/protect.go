package forge

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Protection is what a branch asks for before a pull request may be merged into it. Pushes to it are refused but for
// administrators.
type Protection struct {
	Checks       []string // that have to be green on the head
	UpToDate     bool     // the head has to contain the branch
	Reviews      int      // approvals by people who may write
	DismissStale bool     // a new commit takes approvals back
}

// Protect protects a branch; nil lifts it.
func (f *Forge) Protect(owner, name, branch string, p *Protection) error {
	return f.change(owner, name, func(r *repository) error {
		if r.Protected == nil {
			r.Protected = map[string]*Protection{}
		}
		r.Protected[branch] = p
		if p == nil {
			delete(r.Protected, branch)
		}
		return nil
	})
}

// AllowAutoMerge sets whether pull requests may wait for being merged.
func (f *Forge) AllowAutoMerge(owner, name string, allow bool) error {
	return f.change(owner, name, func(r *repository) error { r.AllowAutoMerge = allow; return nil })
}

// missing says in GitHub's words what a pull request still lacks, "" for nothing.
func (p *Protection) missing(r *repository, pr *pull, head string) string {
	for _, name := range p.Checks {
		switch outcome := r.outcome(head, name); outcome {
		case "success":
		case "failure":
			return `Required status check "` + name + `" is failing.`
		case "":
			return `Required status check "` + name + `" is expected.`
		default:
			return `Required status check "` + name + `" is pending.`
		}
	}
	if p.Reviews > 0 && pr.decision(p) != "APPROVED" {
		return "At least 1 approving review is required by reviewers with write access."
	}
	return ""
}

// outcome joins the check and the status of a name: success, failure, pending, or "" when there is none.
func (r *repository) outcome(sha, name string) string {
	for _, k := range r.latestChecks(sha, false) {
		if k.Name == name {
			return outcome(k)
		}
	}
	for _, s := range r.latestStatuses(sha) {
		if s.Context != name {
			continue
		}
		if s.State == "error" {
			return "failure"
		}
		return s.State
	}
	return ""
}

func outcome(k *check) string {
	switch {
	case k.Status != "completed":
		return "pending"
	case slices.Contains([]string{"success", "neutral", "skipped"}, k.Conclusion):
		return "success"
	}
	return "failure"
}

// decision joins the newest review of each person, as GitHub's reviewDecision does; "" where none is asked for.
func (p *pull) decision(protection *Protection) string {
	newest := map[string]string{}
	for _, v := range p.Reviews {
		if v.State != "COMMENTED" {
			newest[v.Author] = v.State
		}
	}
	approvals := 0
	for _, state := range newest {
		switch state {
		case "CHANGES_REQUESTED":
			return "CHANGES_REQUESTED"
		case "APPROVED":
			approvals++
		}
	}
	switch {
	case protection == nil || protection.Reviews == 0:
		return ""
	case approvals >= protection.Reviews:
		return "APPROVED"
	}
	return "REVIEW_REQUIRED"
}

// refusePush says why a branch does not take a change that does not come by a pull request.
func (c *call) refusePush(branch string) string {
	if c.repo.Protected[branch] == nil || c.viewerRole(c.repo) == "admin" {
		return ""
	}
	return "Changes must be made through a pull request."
}

// dismissStale takes approvals back when the head moved and the protection says so.
func (f *Forge) dismissStale(r *repository, p *pull) {
	protection := r.Protected[p.Base]
	if protection == nil || !protection.DismissStale {
		return
	}
	for _, v := range p.Reviews {
		if v.State == "APPROVED" {
			v.State = "DISMISSED"
			f.hook(r, "pull_request_review", func() any { return f.reviewEvent(context.Background(), r, p, v, "dismissed", p.Author) })
		}
	}
}

// enableAutoMerge takes the wish, or says why GitHub would not.
func (c *call) enableAutoMerge(r *repository, p *pull, in map[string]any) error {
	head, _ := c.f.heads(c.ctx, r, p)
	_, state := c.f.mergeable(c.ctx, r, p)
	switch {
	case !r.AllowAutoMerge:
		return wordsf("Pull request Auto merge is not allowed for this repository")
	case p.State != "open":
		return wordsf("Pull request Pull request is closed")
	case r.Protected[p.Base] == nil:
		return wordsf("Pull request Protected branch rules not configured for this branch")
	case text(in, "expectedHeadOid") != "" && text(in, "expectedHeadOid") != head:
		return wordsf("Head branch was modified. Review and try the merge again.")
	case state == "clean", state == "unstable":
		return wordsf("Pull request Pull request is in %s status", state)
	}
	method := text(in, "mergeMethod")
	if method == "" {
		method = "MERGE"
	}
	p.Auto = &autoMerge{Method: strings.ToLower(method), By: c.who, At: c.f.now(), Title: text(in, "commitHeadline"), Message: text(in, "commitBody")}
	c.f.hook(r, "pull_request", func() any { return c.f.pullEvent(c.ctx, r, p, "auto_merge_enabled", c.who) })
	return nil
}

func (c *call) disableAutoMerge(r *repository, p *pull, _ map[string]any) error {
	if p.Auto == nil {
		return wordsf("Pull request Can't disable auto-merge for this pull request")
	}
	p.Auto = nil
	c.f.hook(r, "pull_request", func() any { return c.f.pullEvent(c.ctx, r, p, "auto_merge_disabled", c.who) })
	return nil
}

// mergeWaiting merges what waited for nothing else. The caller holds mu.
func (f *Forge) mergeWaiting(ctx context.Context, r *repository) {
	for _, p := range r.newestFirst() {
		if p.State != "open" || p.Auto == nil {
			continue
		}
		if _, state := f.mergeable(ctx, r, p); state == "clean" || state == "unstable" {
			how := mergeRequest{Method: p.Auto.Method, Title: p.Auto.Title, Message: p.Auto.Message}
			_, _ = f.merge(ctx, r, p, how, p.Auto.By) // refused: it goes on waiting
		}
	}
}

// protectionJSON is a branch's protection as the branch itself shows it.
func protectionJSON(p *Protection) object {
	if p == nil {
		return object{"enabled": false}
	}
	checks := []object{}
	for _, name := range p.Checks {
		checks = append(checks, object{"context": name, "app_id": nil})
	}
	return object{"enabled": true, "required_status_checks": object{
		"enforcement_level": "non_admins", "contexts": append([]string{}, p.Checks...), "checks": checks,
	}}
}

func getProtection(c *call, branch string) reply {
	p := c.repo.Protected[branch]
	if p == nil {
		return fail(http.StatusNotFound, "Branch not protected")
	}
	self := c.f.repoAPI(c.repo, "/branches/%s/protection", escapePath(branch))
	out := object{
		"url": self, "enforce_admins": object{"url": self + "/enforce_admins", "enabled": false},
		"allow_force_pushes": object{"enabled": false}, "allow_deletions": object{"enabled": false},
	}
	if len(p.Checks) > 0 {
		checks := []object{}
		for _, name := range p.Checks {
			checks = append(checks, object{"context": name, "app_id": nil})
		}
		out["required_status_checks"] = object{
			"url": self + "/required_status_checks", "strict": p.UpToDate, "contexts": p.Checks,
			"contexts_url": self + "/required_status_checks/contexts", "checks": checks,
		}
	}
	if p.Reviews > 0 {
		out["required_pull_request_reviews"] = object{
			"url": self + "/required_pull_request_reviews", "dismiss_stale_reviews": p.DismissStale,
			"require_code_owner_reviews": false, "required_approving_review_count": p.Reviews, "require_last_push_approval": false,
		}
	}
	return ok(out)
}
