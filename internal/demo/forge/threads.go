package forge

import (
	"slices"
	"strconv"
	"strings"
)

// onThread gives a handler the issue or pull request that the path names; the latter is nil for an issue.
func onThread(h func(*call, *thread, *pull) reply) handler {
	return func(c *call) reply {
		n, _ := strconv.Atoi(c.r.PathValue("number"))
		if p := c.repo.Pulls[n]; p != nil {
			return h(c, &p.thread, p)
		}
		if i := c.repo.Issues[n]; i != nil {
			return h(c, &i.thread, nil)
		}
		return notFound()
	}
}

// threads lists issues and pull requests, the newest first.
func (r *repository) threads() []*thread {
	var all []*thread
	for _, p := range r.Pulls {
		all = append(all, &p.thread)
	}
	for _, i := range r.Issues {
		all = append(all, &i.thread)
	}
	slices.SortFunc(all, func(a, b *thread) int { return b.Number - a.Number })
	return all
}

func (c *call) issue(t *thread) object {
	self := c.f.repoAPI(c.repo, "/issues/%d", t.Number)
	web := c.f.repoWeb(c.repo, "/issues/%d", t.Number)
	out := object{
		"id": t.ID, "node_id": nodeID("Issue", t.ID), "url": self, "repository_url": c.f.repoAPI(c.repo, ""),
		"labels_url": self + "/labels{/name}", "comments_url": self + "/comments", "events_url": self + "/events",
		"html_url": web, "number": t.Number, "state": t.State, "state_reason": nil, "title": t.Title, "body": orNull(t.Body),
		"user": c.f.user(t.Author), "labels": c.f.labels(c.repo, t.Labels), "assignee": nil, "assignees": []object{},
		"milestone": nil, "locked": false, "active_lock_reason": nil, "comments": len(t.Comments), "closed_at": stampOrNull(t.Closed),
		"created_at": stamp(t.Created), "updated_at": stamp(t.Updated), "author_association": "MEMBER",
		"reactions": c.f.reactions(self, t.Reactions), "timeline_url": self + "/timeline",
	}
	if p := c.repo.Pulls[t.Number]; p != nil {
		web := c.f.repoWeb(c.repo, "/pull/%d", t.Number)
		out["html_url"] = web
		out["pull_request"] = object{
			"url": c.f.repoAPI(c.repo, "/pulls/%d", t.Number), "html_url": web, "diff_url": web + ".diff", "patch_url": web + ".patch",
			"merged_at": stampOrNull(p.Merged),
		}
	}
	return out
}

func getIssue(c *call, t *thread, _ *pull) reply { return ok(c.issue(t)) }

func listIssues(c *call) reply {
	query := c.r.URL.Query()
	state := query.Get("state")
	if state == "" {
		state = "open"
	}
	shown := []object{}
	for _, t := range c.repo.threads() {
		if (state == "all" || t.State == state) && (query.Get("creator") == "" || query.Get("creator") == t.Author) && t.labelled(query.Get("labels")) {
			shown = append(shown, c.issue(t))
		}
	}
	return page(c, shown)
}

// labelled says whether a thread has all labels of a list with commas.
func (t *thread) labelled(names string) bool {
	for name := range strings.SplitSeq(names, ",") {
		same := func(have string) bool { return strings.EqualFold(have, name) }
		if name != "" && !slices.ContainsFunc(t.Labels, same) {
			return false
		}
	}
	return true
}

func createIssue(c *call) reply {
	var in struct {
		Title, Body string
		Labels      []string
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	i := &issue{thread: c.newThread(in.Title, in.Body)}
	if c.repo.Issues == nil {
		c.repo.Issues = map[int]*issue{}
	}
	c.repo.Issues[i.Number] = i
	c.label(&i.thread, in.Labels)
	c.f.hook(c.repo, "issues", func() any { return c.threadEvent(&i.thread, "opened") })
	made := created(c.issue(&i.thread))
	made.header = location(c.f.repoAPI(c.repo, "/issues/%d", i.Number))
	return made
}

func editIssue(c *call, t *thread, p *pull) reply {
	var in struct {
		Title, Body *string
		State       string
		Labels      *[]string
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if p != nil {
		editPull(c, p)
		return ok(c.issue(t))
	}
	now := c.f.now()
	if in.Title != nil {
		t.Title = *in.Title
	}
	if in.Body != nil {
		t.Body = *in.Body
	}
	if in.Labels != nil {
		t.Labels = nil
		c.label(t, *in.Labels)
	}
	t.Updated = now
	switch {
	case in.State == "closed" && t.State == "open":
		t.State, t.Closed = "closed", &now
		c.f.hook(c.repo, "issues", func() any { return c.threadEvent(t, "closed") })
	case in.State == "open" && t.State == "closed":
		t.State, t.Closed = "open", nil
		c.f.hook(c.repo, "issues", func() any { return c.threadEvent(t, "reopened") })
	default:
		c.f.hook(c.repo, "issues", func() any {
			event := c.threadEvent(t, "edited")
			event["changes"] = object{}
			return event
		})
	}
	return ok(c.issue(t))
}

func (c *call) threadEvent(t *thread, action string) object {
	return object{
		"action": action, "issue": c.issue(t), "repository": c.f.repository(c.repo),
		"organization": c.f.organization(c.repo.Owner), "sender": c.f.user(c.who),
	}
}

// contents of reactions that there are, in the order in which they are counted.
var reactionNames = []string{"+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes"}

// reactions is the count of them, as comments and issues show it.
func (f *Forge) reactions(self string, all []reaction) object {
	out := object{"url": self + "/reactions", "total_count": len(all)}
	for _, name := range reactionNames {
		n := 0
		for _, r := range all {
			if r.Content == name {
				n++
			}
		}
		out[name] = n
	}
	return out
}

func (f *Forge) reaction(r reaction) object {
	return object{
		"id": r.ID, "node_id": nodeID("Reaction", r.ID), "user": f.user(r.User), "content": r.Content, "created_at": stamp(r.Created),
	}
}

// react adds a reaction, once a person and content.
func (c *call) react(to *[]reaction) reply {
	var in struct{ Content string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if !slices.Contains(reactionNames, in.Content) {
		return invalid("Validation Failed", fault{Resource: "Reaction", Field: "content", Code: "invalid"})
	}
	for _, have := range *to {
		if have.User == c.who && have.Content == in.Content {
			return ok(c.f.reaction(have))
		}
	}
	made := reaction{ID: c.f.state.nextID(), User: c.who, Content: in.Content, Created: c.f.now()}
	*to = append(*to, made)
	return created(c.f.reaction(made))
}

func (c *call) listReactions(all []reaction) reply {
	shown := []object{}
	for _, r := range all {
		shown = append(shown, c.f.reaction(r))
	}
	return page(c, shown)
}

func reactToThread(c *call, t *thread, _ *pull) reply { return c.react(&t.Reactions) }

func listThreadReactions(c *call, t *thread, _ *pull) reply { return c.listReactions(t.Reactions) }
