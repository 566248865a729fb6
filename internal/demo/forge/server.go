package forge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds what is read of one API request.
const maxBody = 32 << 20

// call is one authenticated API request.
type call struct {
	f     *Forge
	r     *http.Request
	in    []byte          // the request's body
	ctx   context.Context // goes on when the client hangs up: a change is made whole
	who   string
	app   *app   // its signature is the credential: it may ask for tokens, and little else
	grant *grant // an installation's token is
	repo  *repository
	git   gitDir
}

// reply is the answer to a call. A nil body sends none.
type reply struct {
	status int
	body   any
	link   string // Link header of a page
	header http.Header
	raw    []byte // instead of body for those who ask for the raw form
}

type handler func(*call) reply

// problem is GitHub's error document. The description has status in some answers only.
type problem struct {
	Message          string  `json:"message"`
	DocumentationURL string  `json:"documentation_url"`
	Status           string  `json:"status,omitempty"`
	Errors           []fault `json:"errors,omitempty"`
}

type fault struct {
	Resource string `json:"resource"`
	Field    string `json:"field,omitempty"`
	Code     string `json:"code"`
	Message  string `json:"message,omitempty"`
}

func ok(body any) reply      { return reply{status: http.StatusOK, body: body} }
func created(body any) reply { return reply{status: http.StatusCreated, body: body} }
func noContent() reply       { return reply{status: http.StatusNoContent} }
func notFound() reply        { return fail(http.StatusNotFound, "Not Found") }

func fail(status int, message string, faults ...fault) reply {
	p := problem{Message: message, DocumentationURL: "https://docs.github.com/rest", Errors: faults}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		p.Status = strconv.Itoa(status)
	}
	return reply{status: status, body: p}
}

// invalid is the answer to a request that is well-formed but cannot be done.
func invalid(message string, faults ...fault) reply {
	return fail(http.StatusUnprocessableEntity, message, faults...)
}

// enterpriseVersion is that of the description which the tests hold the answers below /api/v3 to.
const enterpriseVersion = "3.17.0"

// commentPath stands for /issues/comments in routes: a mux cannot tell that from /issues/{number}.
const commentPath = "/issue-comments"

func (f *Forge) routes() *http.ServeMux {
	mux := http.NewServeMux()
	on := func(pattern string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, pattern, h) })
	}
	f.appRoutes(on)
	f.graphRoutes(on)
	on("GET /{$}", root)
	on("GET /rate_limit", rateLimit)
	on("GET /user", currentUser)
	f.organizationRoutes(on)
	repo := func(method, path string, h handler) { on(method+" /repos/{owner}/{repo}"+path, h) }
	repo("GET", "", getRepository)
	repo("PATCH", "", editRepository)

	repo("GET", "/contents/{path...}", getContents)
	repo("PUT", "/contents/{path...}", putContents)
	repo("GET", "/branches/{branch...}", getBranch)
	repo("GET", "/commits", listCommits)
	repo("GET", "/commits/{ref...}", commitsBelow)
	repo("GET", "/compare/{basehead...}", compare)

	repo("GET", "/git/ref/{ref...}", getRef)
	repo("GET", "/git/matching-refs/{ref...}", matchingRefs)
	repo("POST", "/git/refs", createRef)
	repo("PATCH", "/git/refs/{ref...}", updateRef)
	repo("DELETE", "/git/refs/{ref...}", deleteRef)
	repo("GET", "/git/commits/{sha}", getGitCommit)
	repo("POST", "/git/commits", createCommit)
	repo("GET", "/git/trees/{sha...}", getTree)
	repo("POST", "/git/trees", createTree)
	repo("GET", "/git/blobs/{sha}", getBlob)
	repo("POST", "/git/blobs", createBlob)

	repo("GET", "/pulls", listPulls)
	repo("POST", "/pulls", createPull)
	repo("GET", "/pulls/{number}", onPull(getPull))
	repo("PATCH", "/pulls/{number}", onPull(editPull))
	repo("GET", "/pulls/{number}/commits", onPull(listPullCommits))
	repo("GET", "/pulls/{number}/files", onPull(listPullFiles))
	repo("PUT", "/pulls/{number}/merge", onPull(mergePull))

	repo("GET", "/pulls/{number}/reviews", onPull(listReviews))
	repo("POST", "/pulls/{number}/reviews", onPull(createReview))
	repo("GET", "/pulls/{number}/requested_reviewers", onPull(listRequested))
	repo("POST", "/pulls/{number}/requested_reviewers", onPull(requestReviewers))
	repo("DELETE", "/pulls/{number}/requested_reviewers", onPull(removeReviewers))
	repo("GET", "/collaborators/{username}/permission", getPermission)

	repo("GET", "/issues", listIssues)
	repo("POST", "/issues", createIssue)
	repo("GET", "/issues/{number}", onThread(getIssue))
	repo("PATCH", "/issues/{number}", onThread(editIssue))
	repo("POST", "/issues/{number}/labels", onThread(addLabels))
	repo("GET", "/issues/{number}/labels", onThread(listLabels))
	repo("DELETE", "/issues/{number}/labels/{name}", onThread(removeLabel))
	repo("POST", "/issues/{number}/comments", onThread(addComment))
	repo("GET", "/issues/{number}/comments", onThread(listComments))
	repo("GET", "/issues/{number}/reactions", onThread(listThreadReactions))
	repo("POST", "/issues/{number}/reactions", onThread(reactToThread))
	repo("GET", commentPath+"/{id}", onComment(getComment))
	repo("PATCH", commentPath+"/{id}", onComment(editComment))
	repo("DELETE", commentPath+"/{id}", onComment(deleteComment))
	repo("GET", commentPath+"/{id}/reactions", onComment(listCommentReactions))
	repo("POST", commentPath+"/{id}/reactions", onComment(reactToComment))
	repo("GET", "/labels", listRepositoryLabels)
	repo("POST", "/labels", createLabel)
	repo("GET", "/labels/{name}", onLabel(getLabel))
	repo("PATCH", "/labels/{name}", onLabel(editLabel))
	repo("DELETE", "/labels/{name}", onLabel(deleteLabel))

	repo("POST", "/check-runs", createCheck)
	repo("PATCH", "/check-runs/{id}", updateCheck)
	repo("POST", "/statuses/{sha}", createStatus)

	repo("POST", "/dispatches", repositoryDispatch)
	repo("POST", "/actions/workflows/{workflow}/dispatches", workflowDispatch)
	repo("GET", "/actions/runs", listRuns)
	repo("GET", "/actions/workflows/{workflow}/runs", listRuns)
	return mux
}

// ServeHTTP answers git's smart HTTP and the REST API, the latter also below /api/v3.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if target, ok := parseGitPath(r.URL.Path); ok {
		f.serveGit(w, r, target)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v3"); ok && (rest == "" || rest[0] == '/') {
		r = below(r, rest)
		w.Header().Set("X-GitHub-Enterprise-Version", enterpriseVersion) // clients tell an Enterprise Server by it
	}
	if to, ok := f.byNumber(r.URL.EscapedPath()); ok {
		r = below(r, to)
	}
	if repo, comment, ok := strings.Cut(r.URL.EscapedPath(), "/issues/comments/"); ok {
		r = below(r, repo+commentPath+"/"+comment)
	}
	if _, pattern := f.mux.Handler(r); pattern == "" { // GitHub has no 405
		f.serve(w, r, "", func(*call) reply { return notFound() })
		return
	}
	f.mux.ServeHTTP(w, r)
}

// byNumber returns the path below /repos of one below /repositories/{id}, to which renamed repositories lead on.
func (f *Forge) byNumber(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "/repositories/")
	if !ok {
		return "", false
	}
	number, rest, more := strings.Cut(rest, "/")
	if more {
		rest = "/" + rest
	}
	id, _ := strconv.ParseInt(number, 10, 64)
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repositoryByID(id)
	if r == nil {
		return "", false
	}
	return "/repos/" + r.Owner + "/" + r.Name + rest, true
}

// below returns the request with another path, escapes kept.
func below(r *http.Request, escaped string) *http.Request {
	if escaped == "" {
		escaped = "/"
	}
	u := *r.URL
	path, err := url.PathUnescape(escaped)
	if err != nil {
		path = escaped
	}
	u.Path, u.RawPath = path, escaped
	r2 := r.WithContext(r.Context())
	r2.URL = &u
	return r2
}

// serve runs one API request from its credentials to its answer. Requests are served one at a time, so what a
// handler sees of git and of the state belongs together.
func (f *Forge) serve(w http.ResponseWriter, r *http.Request, pattern string, h handler) {
	in, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	f.mu.Lock()
	f.tick()
	c := &call{f: f, r: r, in: in, ctx: context.WithoutCancel(r.Context())}
	trouble := f.troubles.next(pattern, r)
	answer, spared := trouble.instead(c)
	if !spared {
		answer = f.answer(c, pattern, h)
	}
	out, err := c.marshal(answer)
	out = f.troubles.seen(trouble, r, answer.status, out)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = errors.Join(err, f.save())
	}
	notModified := f.matches(r, answer, out)
	if notModified && f.meters[c.who] != nil {
		f.meters[c.who].refund()
	}
	limits := f.limitHeaders(c.who)
	f.mu.Unlock()
	if err != nil {
		f.log.Error("forge answer", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	for name, value := range limits {
		w.Header().Set(name, value)
	}
	if !trouble.spoil(w, out) {
		f.write(w, r, answer, out, notModified)
	}
}

func (f *Forge) answer(c *call, pattern string, h handler) reply {
	if refused, fine := c.identify(); !fine {
		return refused
	}
	if moved, is := f.findRepository(c); is {
		return moved
	}
	if over, is := f.meter(c.who).take(f.cfg.Limits, f.now(), c.writes(pattern)); is {
		return over.reply(c.who)
	}
	if c.r.PathValue("owner") == "" {
		return h(c)
	}
	if c.repo == nil {
		return notFound()
	}
	if refused, fine := c.admit(pattern); !fine {
		return refused
	}
	if refused, is := c.closed(); is {
		return refused
	}
	c.git = f.git(c.repo)
	return h(c)
}

// writes says whether a request creates content. Asking for a token or by GraphQL does not.
func (c *call) writes(pattern string) bool {
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead || c.app != nil {
		return false
	}
	return !strings.HasSuffix(pattern, "/graphql") || strings.Contains(string(c.in), "mutation")
}

// findRepository finds the repository of the path; one that was renamed leads on to its number.
func (f *Forge) findRepository(c *call) (reply, bool) {
	owner, name := c.r.PathValue("owner"), c.r.PathValue("repo")
	if owner == "" {
		return reply{}, false
	}
	if c.repo = f.state.Repositories[owner+"/"+name]; c.repo != nil {
		return reply{}, false
	}
	id, was := f.state.Renamed[owner+"/"+name]
	if !was || f.repositoryByID(id) == nil {
		return reply{}, false
	}
	status, prefix := http.StatusTemporaryRedirect, "/repos/"+owner+"/"+name
	if c.r.Method == http.MethodGet || c.r.Method == http.MethodHead {
		status = http.StatusMovedPermanently
	}
	u := *c.r.URL
	target := f.api("/repositories/"+strconv.FormatInt(id, 10)) + strings.TrimPrefix(u.EscapedPath(), prefix)
	if u.RawQuery != "" {
		target += "?" + u.RawQuery
	}
	moved := fail(status, "Moved Permanently")
	moved.body = object{"message": "Moved Permanently", "url": target, "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects"}
	moved.header = http.Header{"Location": {target}}
	return moved, true
}

func (f *Forge) repositoryByID(id int64) *repository {
	for _, r := range f.state.Repositories {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// bearer returns the token of a request, "" when it has none.
func bearer(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(kind, "bearer") || strings.EqualFold(kind, "token") {
		return token
	}
	_, password, _ := r.BasicAuth()
	return password
}

// marshal makes the answer's body, in the form of the API's version that the request names.
func (c *call) marshal(answer reply) ([]byte, error) {
	if answer.body == nil {
		return nil, nil
	}
	out, err := json.Marshal(answer.body)
	if err != nil || c.r.Header.Get("X-GitHub-Api-Version") != nextVersion {
		return out, err
	}
	return inNextVersion(out)
}

// matches says whether the client has the answer already.
func (f *Forge) matches(r *http.Request, answer reply, body []byte) bool {
	return r.Method == http.MethodGet && answer.status == http.StatusOK && body != nil &&
		strings.TrimPrefix(r.Header.Get("If-None-Match"), "W/") == etag(r, body)
}

func (f *Forge) write(w http.ResponseWriter, r *http.Request, answer reply, body []byte, notModified bool) {
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	if answer.link != "" {
		w.Header().Set("Link", answer.link)
	}
	if body == nil {
		w.WriteHeader(answer.status)
		return
	}
	if answer.status == http.StatusOK || answer.status == http.StatusCreated {
		w.Header().Set("ETag", etag(r, body))
	}
	if notModified {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if answer.raw != nil && strings.Contains(r.Header.Get("Accept"), ".raw") {
		w.Header().Set("Content-Type", "application/vnd.github.v3.raw; charset=utf-8")
		body = answer.raw
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(body) // a client that hung up
}

// etag depends on the credentials as GitHub's does, so that clients which forget that are found out.
func etag(r *http.Request, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", r.Header.Get("Accept"), r.Header.Get("Authorization"))
	h.Write(body)
	return `"` + hex.EncodeToString(h.Sum(nil)) + `"`
}

// limitHeaders are what every answer says. Where nothing is limited, nothing seems used.
func (f *Forge) limitHeaders(login string) map[string]string {
	limit, used, reset := 5000, 1, f.now().Add(time.Hour)
	if m := f.meters[login]; m != nil && f.cfg.Limits.PerHour > 0 {
		limit, used, reset = f.cfg.Limits.PerHour, m.used, m.begun.Add(time.Hour)
	}
	return map[string]string{
		"X-GitHub-Media-Type": "github.v3; format=json", "X-RateLimit-Resource": "core",
		"X-RateLimit-Limit": strconv.Itoa(limit), "X-RateLimit-Remaining": strconv.Itoa(max(limit-used, 0)),
		"X-RateLimit-Used": strconv.Itoa(used), "X-RateLimit-Reset": strconv.FormatInt(reset.Unix(), 10),
	}
}

// decode reads the request's JSON; the reply says what is wrong when it returns false.
func (c *call) decode(into any) (reply, bool) {
	if err := json.Unmarshal(c.in, into); err != nil {
		return fail(http.StatusBadRequest, "Problems parsing JSON"), false
	}
	return reply{}, true
}

// page cuts a list as ?per_page= and ?page= ask for, with the Link header that leads to the other pages.
func page[T any](c *call, all []T) reply {
	query := c.r.URL.Query()
	size, _ := strconv.Atoi(query.Get("per_page"))
	if size <= 0 || size > 100 {
		size = 30
	}
	number, _ := strconv.Atoi(query.Get("page"))
	number = max(number, 1)
	last := (len(all) + size - 1) / size
	link := func(n int, rel string) string {
		query.Set("page", strconv.Itoa(n))
		return fmt.Sprintf(`<%s?%s>; rel=%q`, c.f.api(c.r.URL.Path), query.Encode(), rel)
	}
	var links []string
	if number > 1 {
		links = append(links, link(number-1, "prev"), link(1, "first"))
	}
	if number < last {
		links = append(links, link(number+1, "next"), link(last, "last"))
	}
	start := min((number-1)*size, len(all))
	part := append([]T{}, all[start:min(start+size, len(all))]...) // [] and not null
	return reply{status: http.StatusOK, body: part, link: strings.Join(links, ", ")}
}

func rateLimit(c *call) reply {
	type limit struct {
		Limit     int   `json:"limit"`
		Used      int   `json:"used"`
		Remaining int   `json:"remaining"`
		Reset     int64 `json:"reset"`
	}
	said := c.f.limitHeaders(c.who)
	number := func(name string) int { n, _ := strconv.Atoi(said["X-RateLimit-"+name]); return n }
	core := limit{number("Limit"), number("Used"), number("Remaining"), int64(number("Reset"))}
	return ok(struct {
		Resources map[string]limit `json:"resources"`
		Rate      limit            `json:"rate"`
	}{map[string]limit{"core": core, "search": core}, core})
}

// root is what the API's root leads on to; many programs ask for it to find out whether an API is there.
func root(c *call) reply {
	out := object{}
	for name, path := range map[string]string{
		"current_user": "/user", "current_user_authorizations_html": "/settings/connections/applications{/client_id}",
		"authorizations": "/authorizations", "code_search": "/search/code?q={query}{&page,per_page,sort,order}",
		"commit_search": "/search/commits?q={query}{&page,per_page,sort,order}", "emails": "/user/emails", "emojis": "/emojis",
		"events": "/events", "feeds": "/feeds", "followers": "/user/followers", "following": "/user/following{/target}",
		"gists": "/gists{/gist_id}", "issue_search": "/search/issues?q={query}{&page,per_page,sort,order}", "issues": "/issues",
		"keys": "/user/keys", "label_search": "/search/labels?q={query}&repository_id={repository_id}{&page,per_page}",
		"notifications": "/notifications", "organization": "/orgs/{org}", "organization_teams": "/orgs/{org}/teams",
		"organization_repositories": "/orgs/{org}/repos{?type,page,per_page,sort}", "public_gists": "/gists/public",
		"rate_limit": "/rate_limit", "repository": "/repos/{owner}/{repo}", "starred": "/user/starred{/owner}{/repo}",
		"repository_search":         "/search/repositories?q={query}{&page,per_page,sort,order}",
		"current_user_repositories": "/user/repos{?type,page,per_page,sort}", "starred_gists": "/gists/starred",
		"user": "/users/{user}", "user_organizations": "/user/orgs", "user_repositories": "/users/{user}/repos{?type,page,per_page,sort}",
		"user_search": "/search/users?q={query}{&page,per_page,sort,order}",
	} {
		out[name+"_url"] = c.f.api(path)
	}
	return ok(out)
}
