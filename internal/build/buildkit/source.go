package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/tonistiigi/fsutil"

	"rebuilder/internal/build"
)

// maxDockerfile is BuildKit's own limit.
const maxDockerfile = 4 << 20

// source is what a build reads: the Dockerfile's text, and how the solve is told of it and of the context.
type source struct {
	dockerfile []byte
	ignore     []byte // the Dockerfile's own .dockerignore, nil when it has none
	attrs      map[string]string
	mounts     map[string]fsutil.FS
}

func (e *Engine) open(ctx context.Context, r build.Request) (*source, error) {
	switch {
	case (r.Dir == "") == (r.Git == ""):
		return nil, fmt.Errorf("a build needs a directory or a git reference, and not both (%q, %q)", r.Dir, r.Git)
	case r.Dir != "":
		return openDir(r)
	}
	return e.openGit(ctx, r)
}

func openDir(r build.Request) (*source, error) {
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	defer root.Close()
	s := &source{attrs: map[string]string{}}
	if s.dockerfile, err = readFile(root, dockerfileName(r)); err != nil {
		return nil, fmt.Errorf("read the Dockerfile: %w", err)
	}
	if s.ignore, err = readFile(root, dockerfileName(r)+".dockerignore"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	dir, err := fsutil.NewFS(r.Dir)
	if err != nil {
		return nil, fmt.Errorf("build context: %w", err)
	}
	s.mounts = map[string]fsutil.FS{"context": dir}
	s.give(r, s.dockerfile)
	return s, nil
}

// readFile reads a file below root; a symbolic link that leads out of it is an error.
func readFile(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	if err == nil && len(b) > maxDockerfile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxDockerfile)
	}
	return b, err
}

// openGit has the engine fetch the commit and reads its Dockerfile. This is the only solve that has the token: the
// build itself finds the checkout in the engine's cache by its commit, so that no RUN can ask for the token.
func (e *Engine) openGit(ctx context.Context, r build.Request) (*source, error) {
	if err := checkCommit(r.Git); err != nil {
		return nil, err
	}
	st, _, err := dockerui.DetectGitContext(r.Git, nil, gitOptions(r)...)
	if err != nil {
		return nil, fmt.Errorf("git reference %s: %w", r.Git, err)
	}
	s := &source{attrs: map[string]string{"context": r.Git}, mounts: map[string]fsutil.FS{}}
	_, err = e.client.Build(ctx, client.SolveOpt{
		Internal:      true, // no entry in the history
		FrontendAttrs: map[string]string{},
		Session:       tokenSession(r.GitToken),
	}, "rebuilder", func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		var err error
		s.dockerfile, err = readState(ctx, gw, *st, dockerfileName(r))
		return gateway.NewResult(), err
	}, nil)
	if err != nil {
		return nil, &fetchError{r.Git, err}
	}
	return s, nil
}

// fetchError says that a git reference could not be read.
type fetchError struct {
	git string
	err error
}

func (e *fetchError) Error() string { return fmt.Sprintf("fetch %s: %v", e.git, e.err) }
func (e *fetchError) Unwrap() error { return e.err }

func checkCommit(ref string) error {
	g, ok, err := dfgitutil.ParseGitRef(ref)
	if err != nil {
		return fmt.Errorf("git reference %s: %w", ref, err)
	}
	if !ok {
		return fmt.Errorf("%s is no git reference: expected http://host/repository.git#<commit>", ref)
	}
	if !gitutil.IsCommitSHA(g.Ref) {
		return fmt.Errorf("git reference %s: name a full commit behind the #, anything else moves", ref)
	}
	return nil
}

// gitOptions must be those of the Dockerfile frontend, or the build would not find the checkout.
func gitOptions(r build.Request) []llb.GitOption {
	if r.SourceDateEpoch.IsZero() {
		return nil
	}
	return []llb.GitOption{llb.GitMTimeCommit()}
}

func tokenSession(token string) []session.Attachable {
	if token == "" {
		return nil
	}
	return []session.Attachable{secretsprovider.FromMap(map[string][]byte{llb.GitAuthTokenKey: []byte(token)})}
}

func readState(ctx context.Context, gw gateway.Client, st llb.State, name string) ([]byte, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := gw.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	return dockerui.ReadFile(ctx, ref, name)
}

// give hands a Dockerfile to the solve from memory, in place of the one in the context.
func (s *source) give(r build.Request, dockerfile []byte) {
	name := dockerfileName(r)
	files := memory{name: dockerfile}
	if s.ignore != nil {
		files[name+".dockerignore"] = s.ignore
	}
	s.mounts["dockerfile"] = files
	s.attrs["dockerfilekey"] = "dockerfile" // in place of the one in a git repository, too
}

func dockerfileName(r build.Request) string {
	if r.Dockerfile == "" {
		return "Dockerfile"
	}
	return strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(r.Dockerfile)), "/")
}
