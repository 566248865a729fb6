package githubspec

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Record judges every exchange that passes and keeps what it finds. It may be used by several goroutines.
type Record struct {
	specs []*Spec

	mu       sync.Mutex
	seen     map[string]int
	findings []Finding
}

// NewRecord judges by one description or by several at once.
func NewRecord(specs ...*Spec) *Record { return &Record{specs: specs, seen: map[string]int{}} }

// Findings returns what was wrong so far, each thing once.
func (r *Record) Findings() []Finding {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Finding
	had := map[Finding]bool{}
	for _, f := range r.findings {
		if !had[f] {
			had[f] = true
			all = append(all, f)
		}
	}
	return all
}

// Seen returns how often each operation was used: a test that saw nothing has proven nothing.
func (r *Record) Seen() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]int, len(r.seen))
	for operation, n := range r.seen {
		seen[operation] = n
	}
	return seen
}

// Add judges one exchange. GraphQL is not described here: it has a schema of its own, which judges each document.
func (r *Record) Add(e Exchange) {
	if e.Request.Method == http.MethodPost && strings.HasSuffix(e.Request.URL.Path, "/graphql") {
		return
	}
	for i, spec := range r.specs {
		operation, findings := spec.Check(e)
		r.mu.Lock()
		if i == 0 {
			r.seen[operation]++
		}
		r.findings = append(r.findings, findings...)
		r.mu.Unlock()
	}
}

// AddWebhook judges one delivery.
func (r *Record) AddWebhook(event string, body []byte) {
	for _, spec := range r.specs {
		findings := spec.CheckWebhook(event, body)
		r.mu.Lock()
		r.findings = append(r.findings, findings...)
		r.mu.Unlock()
	}
}

// Transport judges what a client sends and gets. It reads answers whole.
func (r *Record) Transport(next http.RoundTripper) http.RoundTripper { return transport{r, next} }

type transport struct {
	record *Record
	next   http.RoundTripper
}

func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	sent, err := readAll(req.Body)
	if err != nil {
		return nil, err
	}
	if req.Body != nil {
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	got, err := readAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	t.record.Add(Exchange{
		Request: req, RequestBody: sent, Status: resp.StatusCode, Header: resp.Header, ResponseBody: got,
	})
	return resp, nil
}

func readAll(body io.ReadCloser) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	defer body.Close()
	return io.ReadAll(body)
}

// Handler judges what a server gets and answers, so that clients which cannot be instrumented are covered too. Git's
// smart HTTP passes unjudged.
func (r *Record) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if isGit(req.URL.Path) {
			next.ServeHTTP(w, req)
			return
		}
		sent, err := readAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		req = req.Clone(req.Context()) // the mux below writes into the one it gets
		req.Body = io.NopCloser(bytes.NewReader(sent))
		answer := &tee{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, req)
		r.Add(Exchange{
			Request: req, RequestBody: sent, Status: answer.status, Header: w.Header(), ResponseBody: answer.body.Bytes(),
		})
	})
}

func isGit(path string) bool {
	return strings.HasSuffix(path, "/info/refs") || strings.HasSuffix(path, "/git-upload-pack") ||
		strings.HasSuffix(path, "/git-receive-pack")
}

// tee keeps a copy of an answer on its way out.
type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tee) Write(p []byte) (int, error) {
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}
