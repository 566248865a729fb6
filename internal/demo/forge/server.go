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
	f    *Forge
	r    *http.Request
	in   []byte          // the request's body
	ctx  context.Context // goes on when the client hangs up: a change is made whole
	who  string
	repo *repository
	git  gitDir
}

// reply is the answer to a call. A nil body sends none.
type reply struct {
	status int
	body   any
	link   string // Link header of a page
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

func (f *Forge) routes() *http.ServeMux {
	mux := http.NewServeMux()
	on := func(pattern string, h handler) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, h) })
	}
	on("GET /rate_limit", rateLimit)
	on("GET /user", currentUser)
	f.organizationRoutes(on)
	repo := func(method, path string, h handler) { on(method+" /repos/{owner}/{repo}"+path, h) }
	repo("GET", "", getRepository)

	repo("GET", "/contents/{path...}", getContents)
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

	repo("POST", "/issues/{number}/labels", onPull(addLabels))
	repo("GET", "/issues/{number}/labels", onPull(listLabels))
	repo("POST", "/issues/{number}/comments", onPull(addComment))
	repo("GET", "/issues/{number}/comments", onPull(listComments))

	repo("POST", "/check-runs", createCheck)
	repo("PATCH", "/check-runs/{id}", updateCheck)
	repo("POST", "/statuses/{sha}", createStatus)

	repo("POST", "/dispatches", repositoryDispatch)
	repo("POST", "/actions/workflows/{workflow}/dispatches", workflowDispatch)
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
	}
	if _, pattern := f.mux.Handler(r); pattern == "" { // GitHub has no 405
		f.serve(w, r, func(*call) reply { return notFound() })
		return
	}
	f.mux.ServeHTTP(w, r)
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
func (f *Forge) serve(w http.ResponseWriter, r *http.Request, h handler) {
	in, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	f.mu.Lock()
	answer := f.answer(r, in, h)
	var out []byte
	if answer.body != nil {
		out, err = json.Marshal(answer.body)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		err = errors.Join(err, f.save())
	}
	f.mu.Unlock()
	if err != nil {
		f.log.Error("forge answer", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	f.write(w, r, answer, out)
}

func (f *Forge) answer(r *http.Request, in []byte, h handler) reply {
	c := &call{f: f, r: r, in: in, ctx: context.WithoutCancel(r.Context())}
	c.who = f.state.Tokens[bearer(r)]
	if c.who == "" {
		return fail(http.StatusUnauthorized, "Bad credentials")
	}
	if owner := r.PathValue("owner"); owner != "" {
		c.repo = f.state.Repositories[owner+"/"+r.PathValue("repo")]
		if c.repo == nil {
			return notFound()
		}
		c.git = f.git(c.repo)
	}
	return h(c)
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

func (f *Forge) write(w http.ResponseWriter, r *http.Request, answer reply, body []byte) {
	f.writeLimits(w.Header())
	if answer.link != "" {
		w.Header().Set("Link", answer.link)
	}
	if body == nil {
		w.WriteHeader(answer.status)
		return
	}
	if r.Method == http.MethodGet && answer.status == http.StatusOK {
		tag := etag(r, body)
		w.Header().Set("ETag", tag)
		if strings.TrimPrefix(r.Header.Get("If-None-Match"), "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
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

func (f *Forge) writeLimits(h http.Header) {
	h.Set("X-GitHub-Media-Type", "github.v3; format=json")
	h.Set("X-RateLimit-Limit", "5000")
	h.Set("X-RateLimit-Remaining", "4999")
	h.Set("X-RateLimit-Used", "1")
	h.Set("X-RateLimit-Resource", "core")
	h.Set("X-RateLimit-Reset", strconv.FormatInt(f.now().Add(time.Hour).Unix(), 10))
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
	core := limit{5000, 1, 4999, c.f.now().Add(time.Hour).Unix()}
	return ok(struct {
		Resources map[string]limit `json:"resources"`
		Rate      limit            `json:"rate"`
	}{map[string]limit{"core": core, "search": core}, core})
}
