package forge

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// onPull gives a handler the pull request that the path names.
func onPull(h func(*call, *pull) reply) handler {
	return func(c *call) reply {
		number, _ := strconv.Atoi(c.r.PathValue("number"))
		p := c.repo.Pulls[number]
		if p == nil {
			return notFound()
		}
		return h(c, p)
	}
}

func getPull(c *call, p *pull) reply { return ok(c.f.fullPull(c.ctx, c.repo, p)) }

func listPulls(c *call) reply {
	query := c.r.URL.Query()
	state := query.Get("state")
	if state == "" {
		state = "open"
	}
	all := []pullJSON{}
	for _, p := range c.repo.newestFirst() {
		if (state == "all" || p.State == state) && c.matches(p, query.Get("head"), query.Get("base")) {
			all = append(all, c.f.pull(c.ctx, c.repo, p))
		}
	}
	return page(c, all)
}

// matches applies the list's filters. GitHub ignores a head without its owner.
func (c *call) matches(p *pull, head, base string) bool {
	if base != "" && base != p.Base {
		return false
	}
	return !strings.Contains(head, ":") || head == c.repo.Owner+":"+p.Head
}

// newPull is what a pull request is opened with.
type newPull struct {
	Title, Body, Head, Base string
	Draft                   bool
	MaintainerCanModify     bool `json:"maintainer_can_modify"`
}

// maxText bounds titles and bodies as GitHub does.
const maxText = 65536

func createPull(c *call) reply {
	var in newPull
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	p, refused, is := c.open(in)
	if is {
		return refused
	}
	made := created(c.f.fullPull(c.ctx, c.repo, p))
	made.header = location(c.f.repoAPI(c.repo, "/pulls/%d", p.Number))
	return made
}

// location is the header that leads to what was made.
func location(to string) http.Header { return http.Header{"Location": {to}} }

func (c *call) open(in newPull) (*pull, reply, bool) {
	in.Head = strings.TrimPrefix(in.Head, c.repo.Owner+":")
	if refused, is := c.refusePull(in.Head, in.Base); is {
		return nil, refused, true
	}
	if len(in.Body) > maxText {
		return nil, invalid("Validation Failed", fault{Resource: "PullRequest", Field: "body", Code: "custom", Message: "body is too long (maximum is 65536 characters)"}), true
	}
	p := &pull{
		thread: c.newThread(in.Title, in.Body), Draft: in.Draft, MaintainerCanModify: in.MaintainerCanModify,
		Head: in.Head, Base: in.Base, HeadSHA: c.git.head(c.ctx, in.Head),
	}
	c.repo.Pulls[p.Number] = p
	c.f.hook(c.repo, "pull_request", func() any { return c.f.pullEvent(c.ctx, c.repo, p, "opened", c.who) })
	return p, reply{}, false
}

func (c *call) newThread(title, body string) thread {
	now := c.f.now()
	c.repo.LastNumber++
	return thread{
		ID: c.f.state.nextID(), Number: c.repo.LastNumber, Title: title, Body: body, Author: c.who, State: "open",
		Created: now, Updated: now,
	}
}

func (c *call) refusePull(head, base string) (reply, bool) {
	headSHA, baseSHA := c.git.head(c.ctx, head), c.git.head(c.ctx, base)
	refuse := func(f fault) (reply, bool) {
		f.Resource = "PullRequest"
		return invalid("Validation Failed", f), true
	}
	switch {
	case headSHA == "":
		return refuse(fault{Field: "head", Code: "invalid"})
	case baseSHA == "":
		return refuse(fault{Field: "base", Code: "invalid"})
	case c.git.count(c.ctx, baseSHA+".."+headSHA) == 0:
		return refuse(fault{Code: "custom", Message: fmt.Sprintf("No commits between %s and %s", base, head)})
	}
	for _, p := range c.repo.Pulls {
		if p.State == "open" && p.Head == head && p.Base == base {
			message := fmt.Sprintf("A pull request already exists for %s:%s.", c.repo.Owner, head)
			return refuse(fault{Code: "custom", Message: message})
		}
	}
	return reply{}, false
}

func editPull(c *call, p *pull) reply {
	var in struct {
		Title, Body *string
		State       string
	}
	if bad, fine := c.decode(&in); !fine {
		return bad
	}
	changes := map[string]changeJSON{}
	edit := func(name string, old *string, text *string) {
		if text != nil && *text != *old {
			changes[name] = changeJSON{From: *old}
			*old = *text
		}
	}
	edit("title", &p.Title, in.Title)
	edit("body", &p.Body, in.Body)
	if len(changes) > 0 {
		p.Updated = c.f.now()
		c.f.hook(c.repo, "pull_request", func() any {
			event := c.f.pullEvent(c.ctx, c.repo, p, "edited", c.who)
			event.Changes = changes
			return event
		})
	}
	switch {
	case in.State == "closed" && p.State == "open":
		p.HeadSHA, p.BaseSHA = c.f.heads(c.ctx, c.repo, p)
		c.f.closePull(c.ctx, c.repo, p, c.who, false)
	case in.State == "open" && p.State == "closed":
		if refused, is := c.refuseReopening(p); is {
			return refused
		}
		p.State, p.Closed = "open", nil
		c.f.hook(c.repo, "pull_request", func() any { return c.f.pullEvent(c.ctx, c.repo, p, "reopened", c.who) })
	}
	return ok(c.f.fullPull(c.ctx, c.repo, p))
}

func (c *call) refuseReopening(p *pull) (reply, bool) {
	if p.Merged == nil && c.git.head(c.ctx, p.Head) != "" {
		return reply{}, false
	}
	message := "state cannot be changed. The " + p.Head + " branch has been deleted."
	if p.Merged != nil {
		message = "state cannot be changed. The pull request has been merged."
	}
	why := fault{Resource: "PullRequest", Field: "state", Code: "invalid", Message: message}
	return invalid("Validation Failed", why), true
}

func listPullCommits(c *call, p *pull) reply {
	head, base := c.f.heads(c.ctx, c.repo, p)
	all, err := c.git.commits(c.ctx, "--reverse", c.git.mergeBase(c.ctx, base, head)+".."+head, "--")
	if err != nil {
		return invalid(err.Error())
	}
	return page(c, c.f.commits(c.repo, all))
}

func listPullFiles(c *call, p *pull) reply {
	head, base := c.f.heads(c.ctx, c.repo, p)
	return page(c, c.f.files(c.ctx, c.repo, c.git.mergeBase(c.ctx, base, head), head))
}
