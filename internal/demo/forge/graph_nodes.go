package forge

import (
	"fmt"
	"strings"
)

// The nodes are what pull-request robots, gh among them, ask of GitHub's graph.

func (f *Forge) userNode(login string) node {
	u := f.state.Users[login]
	if u == nil {
		return nil
	}
	return node{
		"__typename": u.Type, "id": nodeID("User", u.ID), "databaseId": u.ID, "login": login, "name": login,
		"url": f.cfg.BaseURL + "/" + login, "resourcePath": "/" + login, "avatarUrl": f.cfg.BaseURL + "/avatars/" + login,
	}
}

// shortRepository is a repository inside other nodes.
func (c *call) shortRepository(r *repository) node {
	return node{
		"__typename": "Repository", "id": nodeID("Repository", r.ID), "databaseId": r.ID, "name": r.Name,
		"nameWithOwner": r.Owner + "/" + r.Name, "owner": c.f.userNode(r.Owner), "url": c.f.repoWeb(r, ""),
		"sshUrl": "ssh://git@localhost/" + r.Owner + "/" + r.Name + ".git", "description": r.Description, "homepageUrl": "",
		"isPrivate": false, "isFork": false, "isArchived": r.Archived, "isDisabled": r.Disabled, "parent": nil,
		"hasIssuesEnabled": true, "hasWikiEnabled": false, "viewerPermission": strings.ToUpper(c.viewerRole(r)),
		"viewerDefaultMergeMethod": "MERGE", "viewerCanAdminister": c.viewerRole(r) == "admin",
		"mergeCommitAllowed": true, "rebaseMergeAllowed": true, "squashMergeAllowed": true, "autoMergeAllowed": r.AllowAutoMerge,
		"deleteBranchOnMerge": false, "mergeQueue": nil, "hasVulnerabilityAlertsEnabled": false,
	}
}

func (c *call) viewerRole(r *repository) string {
	if c.grant != nil {
		if covers(c.grant.Permissions["contents"], "write") {
			return "write"
		}
		return "read"
	}
	return c.f.role(r, c.who)
}

func (c *call) repositoryNode(r *repository) node {
	out, git := c.shortRepository(r), c.f.git(r)
	commit := func(sha string) node { return node{"__typename": "Commit", "oid": sha, "id": nodeID("Commit", sha)} }
	out["defaultBranchRef"] = node{
		"__typename": "Ref", "name": r.Default, "prefix": "refs/heads/", "target": commit(git.head(c.ctx, r.Default)),
	}
	out["ref"] = resolver(func(a map[string]any) (any, error) {
		name := fmt.Sprint(a["qualifiedName"])
		sha := git.rev(c.ctx, name)
		if sha == "" {
			return nil, nil
		}
		return node{"__typename": "Ref", "name": strings.TrimPrefix(name, "refs/heads/"), "prefix": "refs/heads/", "target": commit(sha)}, nil
	})
	out["pullRequest"] = resolver(func(a map[string]any) (any, error) {
		n, _ := number(a["number"])
		if p := r.Pulls[n]; p != nil {
			return c.pullNode(r, p), nil
		}
		return nil, wordsf("Could not resolve to a PullRequest with the number of %d.", n)
	})
	out["pullRequests"] = resolver(func(a map[string]any) (any, error) {
		return connection("PullRequestConnection", c.pullNodes(r, a))(a)
	})
	labels := []node{}
	for _, l := range r.sortedLabels() {
		labels = append(labels, labelNode(l))
	}
	out["labels"] = connection("LabelConnection", labels)
	out["issues"] = connection("IssueConnection", nil)
	out["assignableUsers"], out["milestones"] = connection("UserConnection", nil), connection("MilestoneConnection", nil)
	out["pullRequestTemplates"], out["issueTemplates"] = []node{}, []node{}
	return out
}

func labelNode(l *label) node {
	return node{
		"__typename": "Label", "id": nodeID("Label", l.ID), "name": l.Name, "color": l.Color, "description": l.Description,
	}
}

// pullNodes lists pull requests as the connection's arguments choose them, the newest first.
func (c *call) pullNodes(r *repository, a map[string]any) []node {
	states := map[string]bool{}
	switch want := a["states"].(type) {
	case []any:
		for _, s := range want {
			states[fmt.Sprint(s)] = true
		}
	case string:
		states[want] = true
	}
	all := []node{}
	for _, p := range r.newestFirst() {
		head, _ := a["headRefName"].(string)
		base, _ := a["baseRefName"].(string)
		if len(states) > 0 && !states[p.graphState()] || head != "" && head != p.Head || base != "" && base != p.Base {
			continue
		}
		all = append(all, c.pullNode(r, p))
	}
	return all
}

func (p *pull) graphState() string {
	if p.Merged != nil {
		return "MERGED"
	}
	return strings.ToUpper(p.State)
}

func (c *call) pullNode(r *repository, p *pull) node {
	head, base := c.f.heads(c.ctx, r, p)
	out := node{
		"__typename": "PullRequest", "id": nodeID("PullRequest", p.ID), "databaseId": p.ID, "fullDatabaseId": fmt.Sprint(p.ID),
		"number": p.Number, "title": p.Title, "body": p.Body, "state": p.graphState(), "isDraft": p.Draft,
		"url": c.f.repoWeb(r, "/pull/%d", p.Number), "headRefName": p.Head, "headRefOid": head, "baseRefName": p.Base,
		"baseRefOid": base, "isCrossRepository": false, "headRepository": c.shortRepository(r),
		"headRepositoryOwner": c.f.userNode(r.Owner), "baseRepository": c.shortRepository(r), "repository": c.shortRepository(r),
		"author": c.f.userNode(p.Author), "createdAt": stamp(p.Created), "updatedAt": stamp(p.Updated),
		"closedAt": stampOrNull(p.Closed), "mergedAt": stampOrNull(p.Merged), "closed": p.State == "closed",
		"merged": p.Merged != nil, "mergedBy": c.f.userNode(p.MergedBy), "maintainerCanModify": p.MaintainerCanModify,
		"autoMergeRequest": c.autoMergeNode(p), "milestone": nil, "mergeCommit": nil, "potentialMergeCommit": nil,
		"viewerCanEnableAutoMerge": r.AllowAutoMerge, "reactionGroups": []node{},
		"isMergeQueueEnabled": false, "isInMergeQueue": false,
		"assignees": connection("UserConnection", nil), "projectCards": connection("ProjectCardConnection", nil),
		"projectItems":            connection("ProjectV2ItemConnection", nil),
		"closingIssuesReferences": connection("IssueConnection", nil),
	}
	if p.MergeSHA != "" {
		out["mergeCommit"] = node{"__typename": "Commit", "oid": p.MergeSHA}
	}
	c.addMergeability(out, r, p)
	c.addReviews(out, r, p)
	c.addContents(out, r, head, base)
	labels := []node{}
	for _, name := range p.Labels {
		labels = append(labels, labelNode(r.Labels[strings.ToLower(name)]))
	}
	out["labels"] = connection("LabelConnection", labels)
	comments := []node{}
	for _, m := range p.Comments {
		comments = append(comments, c.commentNode(r, p, m))
	}
	out["comments"] = connection("IssueCommentConnection", comments)
	return out
}

func (c *call) commentNode(r *repository, p *pull, m *comment) node {
	return node{
		"__typename": "IssueComment", "id": nodeID("IssueComment", m.ID), "body": m.Body, "author": c.f.userNode(m.Author),
		"authorAssociation": "MEMBER", "createdAt": stamp(m.Created), "includesCreatedEdit": false, "isMinimized": false,
		"minimizedReason": "", "reactionGroups": []node{}, "url": c.f.repoWeb(r, "/pull/%d#issuecomment-%d", p.Number, m.ID),
		"viewerDidAuthor": m.Author == c.who,
	}
}

// addMergeability is computed when it is asked for: it costs a merge.
func (c *call) addMergeability(out node, r *repository, p *pull) {
	out["mergeable"] = resolver(func(map[string]any) (any, error) {
		switch can, _ := c.f.mergeable(c.ctx, r, p); {
		case can == nil:
			return "UNKNOWN", nil
		case *can:
			return "MERGEABLE", nil
		}
		return "CONFLICTING", nil
	})
	out["mergeStateStatus"] = resolver(func(map[string]any) (any, error) {
		_, state := c.f.mergeable(c.ctx, r, p)
		return strings.ToUpper(state), nil
	})
	rule := node(nil)
	if protection := r.Protected[p.Base]; protection != nil {
		rule = node{"__typename": "BranchProtectionRule", "requiresStrictStatusChecks": protection.UpToDate, "requiredApprovingReviewCount": protection.Reviews}
	}
	out["baseRef"] = node{"__typename": "Ref", "name": p.Base, "branchProtectionRule": rule}
}

func (c *call) autoMergeNode(p *pull) node {
	if p.Auto == nil {
		return nil
	}
	return node{
		"__typename": "AutoMergeRequest", "mergeMethod": strings.ToUpper(p.Auto.Method), "enabledBy": c.f.userNode(p.Auto.By),
		"enabledAt": stamp(p.Auto.At), "authorEmail": nil, "commitBody": orNull(p.Auto.Message), "commitHeadline": orNull(p.Auto.Title),
	}
}

// addReviews adds the reviews there are and those that are asked for.
func (c *call) addReviews(out node, r *repository, p *pull) {
	reviews, requests := []node{}, []node{}
	for _, v := range p.Reviews {
		reviews = append(reviews, node{
			"__typename": "PullRequestReview", "id": nodeID("PullRequestReview", v.ID), "author": c.f.userNode(v.Author),
			"authorAssociation": "MEMBER", "state": v.State, "body": v.Body, "submittedAt": stamp(v.Submitted),
			"includesCreatedEdit": false, "reactionGroups": []node{}, "url": c.f.repoWeb(r, "/pull/%d#pullrequestreview-%d", p.Number, v.ID),
			"commit": node{"__typename": "Commit", "oid": v.SHA},
		})
	}
	for _, login := range p.Requested {
		requests = append(requests, node{"__typename": "ReviewRequest", "requestedReviewer": c.f.userNode(login)})
	}
	out["reviews"], out["latestReviews"] = connection("PullRequestReviewConnection", reviews), connection("PullRequestReviewConnection", reviews)
	out["reviewRequests"] = connection("ReviewRequestConnection", requests)
	out["reviewDecision"] = p.decision(r.Protected[p.Base])
}

// addContents adds what costs git: commits, files and the checks on the last commit.
func (c *call) addContents(out node, r *repository, head, base string) {
	start := c.f.git(r).mergeBase(c.ctx, base, head)
	sum := func(count func(fileJSON) int) resolver {
		return func(map[string]any) (any, error) {
			total := 0
			for _, file := range c.f.files(c.ctx, r, start, head) {
				total += count(file)
			}
			return total, nil
		}
	}
	out["additions"] = sum(func(f fileJSON) int { return f.Additions })
	out["deletions"] = sum(func(f fileJSON) int { return f.Deletions })
	out["changedFiles"] = sum(func(fileJSON) int { return 1 })
	out["files"] = resolver(func(a map[string]any) (any, error) {
		all := []node{}
		for _, file := range c.f.files(c.ctx, r, start, head) {
			all = append(all, node{
				"__typename": "PullRequestChangedFile", "path": file.Filename, "additions": file.Additions, "deletions": file.Deletions,
			})
		}
		return connection("PullRequestChangedFileConnection", all)(a)
	})
	rollup := c.rollupNode(r, head)
	out["statusCheckRollup"] = rollup
	out["commits"] = resolver(func(a map[string]any) (any, error) {
		all, err := c.f.git(r).commits(c.ctx, "--reverse", start+".."+head, "--")
		if err != nil {
			return nil, err
		}
		nodes := []node{}
		for _, one := range all {
			nodes = append(nodes, node{"__typename": "PullRequestCommit", "commit": c.commitNode(one, rollup)})
		}
		return connection("PullRequestCommitConnection", nodes)(a)
	})
}

func (c *call) commitNode(one commit, rollup node) node {
	headline, body, _ := strings.Cut(one.Message, "\n")
	author := node{"__typename": "GitActor", "name": one.Author.Name, "email": one.Author.Email, "user": nil}
	if u := c.f.userOf(one.Author); u != nil {
		author["user"] = c.f.userNode(u.Login)
	}
	return node{
		"__typename": "Commit", "oid": one.SHA, "messageHeadline": headline, "messageBody": strings.TrimSpace(body),
		"authoredDate": stamp(one.Author.Date), "committedDate": stamp(one.Committer.Date), "author": author,
		"authors": connection("GitActorConnection", []node{author}), "statusCheckRollup": rollup,
	}
}

// rollupNode joins checks and statuses of a commit; nil when there are none.
func (c *call) rollupNode(r *repository, sha string) node {
	all, state := []node{}, "SUCCESS"
	worse := func(outcome string) {
		switch {
		case outcome == "failure":
			state = "FAILURE"
		case outcome == "pending" && state == "SUCCESS":
			state = "PENDING"
		}
	}
	for _, k := range r.latestChecks(sha, false) {
		worse(outcome(k))
		all = append(all, node{
			"__typename": "CheckRun", "name": k.Name, "status": strings.ToUpper(k.Status), "conclusion": orNull(strings.ToUpper(k.Conclusion)),
			"startedAt": stamp(k.Started), "completedAt": stampOrNull(k.Completed), "detailsUrl": orNull(k.DetailsURL),
			"checkSuite": node{"__typename": "CheckSuite", "status": strings.ToUpper(k.Status), "conclusion": orNull(strings.ToUpper(k.Conclusion)), "workflowRun": nil},
		})
	}
	for _, s := range r.latestStatuses(sha) {
		if s.State == "error" || s.State == "failure" {
			worse("failure")
		} else {
			worse(s.State)
		}
		all = append(all, node{
			"__typename": "StatusContext", "context": s.Context, "state": strings.ToUpper(s.State), "targetUrl": orNull(s.Target),
			"createdAt": stamp(s.Created), "description": orNull(s.Description),
		})
	}
	if len(all) == 0 {
		return nil
	}
	return node{"__typename": "StatusCheckRollup", "state": state, "contexts": connection("StatusCheckRollupContextConnection", all)}
}
