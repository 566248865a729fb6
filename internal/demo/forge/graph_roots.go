package forge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// queries are the root fields of a question.
func (c *call) queries() node {
	viewer := c.f.userNode(c.who)
	if viewer != nil {
		viewer["pullRequests"] = connection("PullRequestConnection", nil)
	}
	return node{
		"__typename": "Query", "viewer": viewer, "organization": nil, "user": nil,
		"repository": resolver(func(a map[string]any) (any, error) {
			full := fmt.Sprintf("%v/%v", a["owner"], a["name"])
			r := c.f.state.Repositories[full]
			if r == nil || !c.sees(r) {
				return nil, wordsf("Could not resolve to a Repository with the name '%s'.", full)
			}
			return c.repositoryNode(r), nil
		}),
		"node": resolver(func(a map[string]any) (any, error) {
			r, p, err := c.pullByNode(a["id"])
			if err != nil {
				return nil, err
			}
			return c.pullNode(r, p), nil
		}),
		"search": resolver(c.search),
		"__type": resolver(func(a map[string]any) (any, error) { return typeNode(fmt.Sprint(a["name"])) }),
	}
}

// sees says whether the caller may know of a repository.
func (c *call) sees(r *repository) bool {
	if c.grant != nil {
		i := c.f.installation(c.grant)
		return i != nil && i.has(r) && c.grant.covers(r)
	}
	return c.app == nil && c.f.role(r, c.who) != "none"
}

// search finds pull requests by the words "repo:", "state:" and "head:".
func (c *call) search(a map[string]any) (any, error) {
	words := map[string]string{}
	for _, word := range strings.Fields(fmt.Sprint(a["query"])) {
		if name, value, ok := strings.Cut(word, ":"); ok {
			words[name] = strings.Trim(value, `"`)
		}
	}
	found := []node{}
	if r := c.f.state.Repositories[words["repo"]]; r != nil && c.sees(r) {
		for _, p := range r.newestFirst() {
			if (words["state"] == "" || words["state"] == p.State) && (words["head"] == "" || words["head"] == p.Head) {
				found = append(found, c.pullNode(r, p))
			}
		}
	}
	return connection("SearchResultItemConnection", found)(a)
}

// typeNode describes a type of the schema, for clients that find out which fields there are.
func typeNode(name string) (any, error) {
	s, err := schema()
	if err != nil {
		return nil, err
	}
	definition := s.Types[name]
	if definition == nil {
		return nil, nil
	}
	fields, values := []node{}, []node{}
	for _, f := range definition.Fields {
		fields = append(fields, node{"__typename": "__Field", "name": f.Name})
	}
	for _, v := range definition.EnumValues {
		values = append(values, node{"__typename": "__EnumValue", "name": v.Name})
	}
	return node{
		"__typename": "__Type", "name": name, "kind": string(definition.Kind), "fields": fields, "inputFields": fields, "enumValues": values,
	}, nil
}

func (c *call) pullByNode(id any) (*repository, *pull, error) {
	for _, r := range c.f.state.Repositories {
		for _, p := range r.Pulls {
			if nodeID("PullRequest", p.ID) == id && c.sees(r) {
				return r, p, nil
			}
		}
	}
	return nil, nil, wordsf("Could not resolve to a node with the global id of '%v'.", id)
}

// words are an error in GitHub's own words, with its capital letters and full stops.
type words string

func (w words) Error() string { return string(w) }

func wordsf(format string, args ...any) error { return words(fmt.Sprintf(format, args...)) }

// errNoWrites is GitHub's answer to a mutation that the token is not for.
var errNoWrites = wordsf("Resource not accessible by integration")

// mutations are the root fields of a change.
func (c *call) mutations() node {
	return node{
		"__typename":                  "Mutation",
		"enablePullRequestAutoMerge":  c.onPullNode("EnablePullRequestAutoMergePayload", c.enableAutoMerge),
		"disablePullRequestAutoMerge": c.onPullNode("DisablePullRequestAutoMergePayload", c.disableAutoMerge),
		"mergePullRequest": c.onPullNode("MergePullRequestPayload", func(r *repository, p *pull, in map[string]any) error {
			how := mergeRequest{Method: strings.ToLower(text(in, "mergeMethod")), SHA: text(in, "expectedHeadOid"), Title: text(in, "commitHeadline"), Message: text(in, "commitBody")}
			_, why := c.f.merge(c.ctx, r, p, how, c.who)
			return why.err()
		}),
		"closePullRequest": c.onPullNode("ClosePullRequestPayload", func(r *repository, p *pull, _ map[string]any) error {
			p.HeadSHA, p.BaseSHA = c.f.heads(c.ctx, r, p)
			c.f.closePull(c.ctx, r, p, c.who, false)
			return nil
		}),
		"createPullRequest": resolver(c.createPullByGraph),
		"addComment":        resolver(c.addCommentByGraph),
	}
}

func text(in map[string]any, name string) string {
	s, _ := in[name].(string)
	return s
}

func input(a map[string]any) map[string]any {
	in, _ := a["input"].(map[string]any)
	return in
}

// onPullNode finds the pull request that a mutation names, and shows it afterwards.
func (c *call) onPullNode(payload string, do func(*repository, *pull, map[string]any) error) resolver {
	return func(a map[string]any) (any, error) {
		in := input(a)
		r, p, err := c.pullByNode(in["pullRequestId"])
		if err != nil {
			return nil, err
		}
		if !c.mayChange(r, "pull_requests") {
			return nil, errNoWrites
		}
		if err := do(r, p, in); err != nil {
			return nil, err
		}
		return node{
			"__typename": payload, "clientMutationId": in["clientMutationId"], "actor": c.f.userNode(c.who), "pullRequest": c.pullNode(r, p),
		}, nil
	}
}

func (c *call) mayChange(r *repository, permission string) bool {
	if c.grant != nil {
		return covers(c.grant.Permissions[permission], "write")
	}
	return mayWrite(c.f.role(r, c.who))
}

func (c *call) createPullByGraph(a map[string]any) (any, error) {
	in := input(a)
	for _, r := range c.f.state.Repositories {
		if nodeID("Repository", r.ID) != in["repositoryId"] || !c.mayChange(r, "pull_requests") {
			continue
		}
		c.repo, c.git = r, c.f.git(r)
		draft, _ := in["draft"].(bool)
		head := text(in, "headRefName")
		p, refused, is := c.open(newPull{
			Title: text(in, "title"), Body: text(in, "body"), Draft: draft, MaintainerCanModify: true,
			Head: head[strings.LastIndex(head, ":")+1:], Base: strings.TrimPrefix(text(in, "baseRefName"), "refs/heads/"),
		})
		if is {
			return nil, errors.New(said(refused))
		}
		return node{"__typename": "CreatePullRequestPayload", "clientMutationId": nil, "pullRequest": c.pullNode(r, p)}, nil
	}
	return nil, wordsf("Could not resolve to a node with the global id of '%v'.", in["repositoryId"])
}

// said is what a refusal says, in one line.
func said(r reply) string {
	p, _ := r.body.(problem)
	for _, f := range p.Errors {
		if f.Message != "" {
			return f.Message
		}
	}
	if p.Message == "" {
		return http.StatusText(r.status)
	}
	return p.Message
}

func (c *call) addCommentByGraph(a map[string]any) (any, error) {
	in := input(a)
	r, p, err := c.pullByNode(in["subjectId"])
	if err != nil {
		return nil, err
	}
	if !c.mayChange(r, "pull_requests") {
		return nil, errNoWrites
	}
	c.repo = r
	m := c.say(&p.thread, text(in, "body"))
	edge := node{"__typename": "IssueCommentEdge", "cursor": "c", "node": c.commentNode(r, p, m)}
	return node{"__typename": "AddCommentPayload", "clientMutationId": nil, "commentEdge": edge}, nil
}
