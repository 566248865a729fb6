package forge

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type labelJSON struct {
	ID          int64   `json:"id"`
	NodeID      string  `json:"node_id"`
	URL         string  `json:"url"`
	Name        string  `json:"name"`
	Color       string  `json:"color"`
	Default     bool    `json:"default"`
	Description *string `json:"description"`
}

func (f *Forge) labelOf(r *repository, l *label) labelJSON {
	return labelJSON{
		ID: l.ID, NodeID: nodeID("Label", l.ID), URL: f.repoAPI(r, "/labels/%s", url.PathEscape(l.Name)),
		Name: l.Name, Color: l.Color, Description: l.Description,
	}
}

func (f *Forge) labels(r *repository, names []string) []labelJSON {
	out := []labelJSON{}
	for _, name := range names {
		if l := r.Labels[strings.ToLower(name)]; l != nil {
			out = append(out, f.labelOf(r, l))
		}
	}
	return out
}

// sortedLabels lists a repository's labels by name.
func (r *repository) sortedLabels() []*label {
	var all []*label
	for _, l := range r.Labels {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *label) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return all
}

func listRepositoryLabels(c *call) reply {
	all := []labelJSON{}
	for _, l := range c.repo.sortedLabels() {
		all = append(all, c.f.labelOf(c.repo, l))
	}
	return page(c, all)
}

type newLabel struct {
	Name, Color, Description *string
	NewName                  *string `json:"new_name"`
}

func (in newLabel) apply(l *label) {
	if in.Color != nil {
		l.Color = *in.Color
	}
	if in.Description != nil {
		l.Description = in.Description
	}
}

var labelColor = regexp.MustCompile(`^[0-9A-Fa-f]{6}$`)

func createLabel(c *call) reply {
	var in newLabel
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if in.Name == nil || *in.Name == "" {
		return invalid("Validation Failed", fault{Resource: "Label", Field: "name", Code: "missing_field"})
	}
	if in.Color != nil && !labelColor.MatchString(*in.Color) {
		return invalid("Validation Failed", fault{Resource: "Label", Field: "color", Code: "invalid"})
	}
	key := strings.ToLower(*in.Name)
	if c.repo.Labels[key] != nil {
		return invalid("Validation Failed", fault{Resource: "Label", Field: "name", Code: "already_exists"})
	}
	l := &label{ID: c.f.state.nextID(), Name: *in.Name, Color: "ededed"}
	in.apply(l)
	c.repo.Labels[key] = l
	made := created(c.f.labelOf(c.repo, l))
	made.header = location(c.f.repoAPI(c.repo, "/labels/%s", url.PathEscape(l.Name)))
	return made
}

// onLabel gives a handler the label that the path names.
func onLabel(h func(*call, *label) reply) handler {
	return func(c *call) reply {
		l := c.repo.Labels[strings.ToLower(c.r.PathValue("name"))]
		if l == nil {
			return notFound()
		}
		return h(c, l)
	}
}

func getLabel(c *call, l *label) reply { return ok(c.f.labelOf(c.repo, l)) }

func editLabel(c *call, l *label) reply {
	var in newLabel
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	in.apply(l)
	if in.NewName != nil {
		old := l.Name
		delete(c.repo.Labels, strings.ToLower(old))
		l.Name = *in.NewName
		c.repo.Labels[strings.ToLower(l.Name)] = l
		for _, t := range c.repo.threads() {
			if i := t.labelAt(old); i >= 0 {
				t.Labels[i] = l.Name
			}
		}
	}
	return ok(c.f.labelOf(c.repo, l))
}

func deleteLabel(c *call, l *label) reply {
	delete(c.repo.Labels, strings.ToLower(l.Name))
	for _, t := range c.repo.threads() {
		if i := t.labelAt(l.Name); i >= 0 {
			t.Labels = slices.Delete(t.Labels, i, i+1)
		}
	}
	return noContent()
}

// labelAt returns where a thread has a label, or -1.
func (t *thread) labelAt(name string) int {
	return slices.IndexFunc(t.Labels, func(have string) bool { return strings.EqualFold(have, name) })
}

func listLabels(c *call, t *thread, _ *pull) reply { return page(c, c.f.labels(c.repo, t.Labels)) }

// addLabels takes {"labels": [...]} and the bare list that GitHub also accepts; unknown labels are made.
func addLabels(c *call, t *thread, _ *pull) reply {
	var in struct{ Labels []string }
	if json.Unmarshal(c.in, &in.Labels) != nil {
		if bad, fine := c.decode(&in); !fine {
			return bad
		}
	}
	c.label(t, in.Labels)
	return ok(c.f.labels(c.repo, t.Labels))
}

func (c *call) label(t *thread, names []string) {
	for _, name := range names {
		key := strings.ToLower(name)
		if c.repo.Labels[key] == nil {
			c.repo.Labels[key] = &label{ID: c.f.state.nextID(), Name: name, Color: "ededed"}
		}
		if t.labelAt(name) < 0 {
			t.Labels = append(t.Labels, name)
			t.Updated = c.f.now()
			c.labelled(t, c.repo.Labels[key], "labeled")
		}
	}
}

func removeLabel(c *call, t *thread, _ *pull) reply {
	i := t.labelAt(c.r.PathValue("name"))
	if i < 0 {
		return fail(http.StatusNotFound, "Label does not exist")
	}
	gone := c.repo.Labels[strings.ToLower(t.Labels[i])]
	t.Labels = slices.Delete(t.Labels, i, i+1)
	t.Updated = c.f.now()
	c.labelled(t, gone, "unlabeled")
	return ok(c.f.labels(c.repo, t.Labels))
}

// labelled tells of a label that came or went.
func (c *call) labelled(t *thread, l *label, action string) {
	if p := c.repo.Pulls[t.Number]; p != nil {
		c.f.hook(c.repo, "pull_request", func() any {
			event := c.f.pullEvent(c.ctx, c.repo, p, action, c.who)
			shown := c.f.labelOf(c.repo, l)
			event.Label = &shown
			return event
		})
		return
	}
	c.f.hook(c.repo, "issues", func() any {
		event := c.threadEvent(t, action)
		event["label"] = c.f.labelOf(c.repo, l)
		return event
	})
}

type commentJSON struct {
	ID                int64     `json:"id"`
	NodeID            string    `json:"node_id"`
	URL               string    `json:"url"`
	HTMLURL           string    `json:"html_url"`
	IssueURL          string    `json:"issue_url"`
	Body              string    `json:"body"`
	User              *userJSON `json:"user"`
	CreatedAt         string    `json:"created_at"`
	UpdatedAt         string    `json:"updated_at"`
	AuthorAssociation string    `json:"author_association"`
	App               *string   `json:"performed_via_github_app"`
	Reactions         object    `json:"reactions"`
}

func (c *call) comment(t *thread, m *comment) commentJSON {
	self := c.f.repoAPI(c.repo, "/issues/comments/%d", m.ID)
	kind := "issues"
	if c.repo.Pulls[t.Number] != nil {
		kind = "pull"
	}
	return commentJSON{
		ID: m.ID, NodeID: nodeID("IssueComment", m.ID), URL: self,
		HTMLURL:  c.f.repoWeb(c.repo, "/%s/%d#issuecomment-%d", kind, t.Number, m.ID),
		IssueURL: c.f.repoAPI(c.repo, "/issues/%d", t.Number), Body: m.Body, User: c.f.user(m.Author),
		CreatedAt: stamp(m.Created), UpdatedAt: stamp(m.Updated), AuthorAssociation: "MEMBER",
		Reactions: c.f.reactions(self, m.Reactions),
	}
}

func addComment(c *call, t *thread, _ *pull) reply {
	var in struct{ Body string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	if len(in.Body) > maxText {
		return invalid("Validation Failed", fault{Resource: "IssueComment", Field: "data", Code: "unprocessable", Message: "Body is too long (maximum is 65536 characters)"})
	}
	m := c.say(t, in.Body)
	made := created(c.comment(t, m))
	made.header = location(c.f.repoAPI(c.repo, "/issues/comments/%d", m.ID))
	return made
}

// say adds a comment of the caller's.
func (c *call) say(t *thread, body string) *comment {
	now := c.f.now()
	m := &comment{ID: c.f.state.nextID(), Author: c.who, Body: body, Created: now, Updated: now}
	t.Comments = append(t.Comments, m)
	t.Updated = now
	c.f.hook(c.repo, "issue_comment", func() any { return c.commentEvent(t, m, "created") })
	return m
}

func (c *call) commentEvent(t *thread, m *comment, action string) object {
	event := c.threadEvent(t, action)
	event["comment"] = c.comment(t, m)
	return event
}

func listComments(c *call, t *thread, _ *pull) reply {
	all := []commentJSON{}
	for _, m := range t.Comments {
		all = append(all, c.comment(t, m))
	}
	return page(c, all)
}

// onComment gives a handler the comment that the path names.
func onComment(h func(*call, *thread, *comment) reply) handler {
	return func(c *call) reply {
		id, _ := strconv.ParseInt(c.r.PathValue("id"), 10, 64)
		for _, t := range c.repo.threads() {
			for _, m := range t.Comments {
				if m.ID == id {
					return h(c, t, m)
				}
			}
		}
		return notFound()
	}
}

func getComment(c *call, t *thread, m *comment) reply { return ok(c.comment(t, m)) }

func editComment(c *call, t *thread, m *comment) reply {
	var in struct{ Body string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	was := m.Body
	m.Body, m.Updated = in.Body, c.f.now()
	c.f.hook(c.repo, "issue_comment", func() any {
		event := c.commentEvent(t, m, "edited")
		event["changes"] = object{"body": object{"from": was}}
		return event
	})
	return ok(c.comment(t, m))
}

func deleteComment(c *call, t *thread, m *comment) reply {
	t.Comments = slices.DeleteFunc(t.Comments, func(have *comment) bool { return have == m })
	c.f.hook(c.repo, "issue_comment", func() any { return c.commentEvent(t, m, "deleted") })
	return noContent()
}

func reactToComment(c *call, _ *thread, m *comment) reply { return c.react(&m.Reactions) }

func listCommentReactions(c *call, _ *thread, m *comment) reply { return c.listReactions(m.Reactions) }
