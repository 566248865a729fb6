package forge

import (
	"encoding/json"
	"net/url"
	"slices"
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

func (f *Forge) labels(r *repository, names []string) []labelJSON {
	out := []labelJSON{}
	for _, name := range names {
		l := r.Labels[strings.ToLower(name)]
		out = append(out, labelJSON{
			ID: l.ID, NodeID: nodeID("Label", l.ID), URL: f.repoAPI(r, "/labels/%s", url.PathEscape(l.Name)),
			Name: l.Name, Color: l.Color, Description: l.Description,
		})
	}
	return out
}

func listLabels(c *call, p *pull) reply { return page(c, c.f.labels(c.repo, p.Labels)) }

// addLabels takes {"labels": [...]} and the bare list that GitHub also accepts; unknown labels are made.
func addLabels(c *call, p *pull) reply {
	var in struct{ Labels []string }
	if json.Unmarshal(c.in, &in.Labels) != nil {
		if bad, fine := c.decode(&in); !fine {
			return bad
		}
	}
	for _, name := range in.Labels {
		key := strings.ToLower(name)
		if c.repo.Labels[key] == nil {
			c.repo.Labels[key] = &label{ID: c.f.state.nextID(), Name: name, Color: "ededed"}
		}
		same := func(have string) bool { return strings.EqualFold(have, name) }
		if !slices.ContainsFunc(p.Labels, same) {
			p.Labels = append(p.Labels, name)
			p.Updated = c.f.now()
		}
	}
	return ok(c.f.labels(c.repo, p.Labels))
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
}

func (c *call) comment(p *pull, m comment) commentJSON {
	return commentJSON{
		ID: m.ID, NodeID: nodeID("IssueComment", m.ID), URL: c.f.repoAPI(c.repo, "/issues/comments/%d", m.ID),
		HTMLURL:  c.f.repoWeb(c.repo, "/pull/%d#issuecomment-%d", p.Number, m.ID),
		IssueURL: c.f.repoAPI(c.repo, "/issues/%d", p.Number), Body: m.Body, User: c.f.user(m.Author),
		CreatedAt: stamp(m.Created), UpdatedAt: stamp(m.Created), AuthorAssociation: "MEMBER",
	}
}

func addComment(c *call, p *pull) reply {
	var in struct{ Body string }
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	m := comment{ID: c.f.state.nextID(), Author: c.who, Body: in.Body, Created: c.f.now()}
	p.Comments = append(p.Comments, m)
	p.Updated = m.Created
	return created(c.comment(p, m))
}

func listComments(c *call, p *pull) reply {
	all := []commentJSON{}
	for _, m := range p.Comments {
		all = append(all, c.comment(p, m))
	}
	return page(c, all)
}
