package forge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"regexp"
	"time"
)

// maxPush bounds what one push may send.
const maxPush = 1 << 30

// gitTarget is a request of git's smart HTTP protocol.
type gitTarget struct{ owner, name, service string }

var gitPath = regexp.MustCompile(`^/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)$`)

func parseGitPath(path string) (gitTarget, bool) {
	m := gitPath.FindStringSubmatch(path)
	if m == nil {
		return gitTarget{}, false
	}
	return gitTarget{owner: m[1], name: m[2], service: m[3]}, true
}

// serveGit lets anybody clone and users push. The password of HTTP basic authentication is a token; the name is not
// looked at, as on GitHub.
func (f *Forge) serveGit(w http.ResponseWriter, r *http.Request, target gitTarget) {
	f.mu.Lock()
	repo := f.state.Repositories[target.owner+"/"+target.name]
	pushes := target.service == "git-receive-pack" || r.URL.Query().Get("service") == "git-receive-pack"
	who := f.gitUser(bearer(r), repo, pushes)
	f.mu.Unlock()
	if repo == nil {
		http.NotFound(w, r)
		return
	}
	if pushes && repo.Archived {
		http.Error(w, "this repository was archived so it is read-only", http.StatusForbidden)
		return
	}
	if pushes && who == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		http.Error(w, "a push needs a token as password", http.StatusUnauthorized)
		return
	}
	body, size, err := spool(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	defer body.Close()
	req := below(r, "/"+target.owner+"/"+target.name+".git/"+target.service)
	req.Body, req.ContentLength, req.TransferEncoding = body, size, nil
	program := f.gitProgram(who)
	if target.service == "git-receive-pack" {
		f.receivePack(w, req, program, repo, who)
		return
	}
	program.ServeHTTP(w, req)
}

// gitUser returns whose token it is, "" when it is not one that may push.
func (f *Forge) gitUser(token string, r *repository, pushes bool) string {
	if g := f.state.Grants[token]; g != nil && r != nil && time.Now().Before(g.Expires) {
		i := f.installation(g)
		if i == nil || !i.has(r) || !g.covers(r) || pushes && !covers(g.Permissions["contents"], "write") {
			return ""
		}
		return f.state.Apps[g.App].Slug + "[bot]"
	}
	who := f.state.Tokens[token]
	if who != "" && r != nil && pushes && !mayWrite(f.role(r, who)) {
		return ""
	}
	return who
}

func (f *Forge) gitProgram(who string) *cgi.Handler {
	return &cgi.Handler{
		Path: f.backend,
		Dir:  f.cfg.Dir,
		Env: []string{
			"GIT_PROJECT_ROOT=" + f.cfg.Dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=" + who,
			"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		},
		InheritEnv: []string{"PATH"},
		Stderr:     io.Discard,
	}
}

// receivePack takes a push while nothing else changes a ref, so that each move is seen once.
func (f *Forge) receivePack(w http.ResponseWriter, r *http.Request, program http.Handler, repo *repository,
	who string) {
	ctx := context.WithoutCancel(r.Context())
	answer := &buffered{header: http.Header{}, status: http.StatusOK}
	f.mu.Lock()
	before, err := f.git(repo).refs(ctx)
	if err == nil {
		program.ServeHTTP(answer, r.WithContext(ctx))
		err = f.noticePush(ctx, repo, before, who)
	}
	f.mu.Unlock()
	if err != nil {
		f.log.Error("forge push", "repository", repo.Owner+"/"+repo.Name, "error", err)
		http.Error(w, "push failed", http.StatusInternalServerError)
		return
	}
	for key, values := range answer.header {
		w.Header()[key] = values
	}
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes())
}

// buffered keeps an answer, so that a slow client does not hold up the forge.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

func (f *Forge) noticePush(ctx context.Context, repo *repository, before map[string]string, who string) error {
	after, err := f.git(repo).refs(ctx)
	if err != nil {
		return err
	}
	for ref, sha := range after {
		if before[ref] != sha {
			f.moved(ctx, repo, move{ref: ref, from: before[ref], to: sha, who: who})
		}
	}
	for ref, sha := range before {
		if after[ref] == "" {
			f.moved(ctx, repo, move{ref: ref, from: sha, who: who})
		}
	}
	return f.save()
}

// spool puts a body into a file: CGI needs to know its length, which git does not say of a long pack, and a slow
// client must not hold up the forge.
func spool(r *http.Request) (io.ReadCloser, int64, error) {
	if r.ContentLength == 0 {
		return http.NoBody, 0, nil
	}
	file, err := os.CreateTemp("", "forge-push-")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(file.Name()) // goes away with the descriptor
	size, err := io.Copy(file, io.LimitReader(r.Body, maxPush+1))
	if err == nil && size > maxPush {
		err = errors.New("push is too large")
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, size, nil
}
