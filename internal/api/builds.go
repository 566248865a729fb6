package api

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"rebuilder/internal/store"
)

func (s *Server) getBuild(r *http.Request) (any, error) {
	b, err := s.findBuild(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := wholeBuild(b)
	p, err := store.GetProvenance(r.Context(), s.d.Store.Q(), b.ID)
	out.Provenance, out.Now = p != nil, s.d.Now().UTC()
	return out, err
}

const usualBuilds, mostBuilds = 20, 200

func (s *Server) getBuilds(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, err := number(r, "limit", usualBuilds, mostBuilds)
	if err != nil {
		return nil, err
	}
	out := Builds{Now: s.d.Now().UTC(), Image: q.Get("image"), Builds: []Build{}}
	if out.Image != "" {
		v, err := s.view(r.Context())
		if err != nil {
			return nil, err
		}
		if _, mistake := v.find(out.Image); mistake != nil {
			return nil, mistake
		}
	}
	builds, err := store.Builds(r.Context(), s.d.Store.Q(), out.Image, limit+1)
	if err != nil {
		return nil, err
	}
	for _, b := range builds[:min(len(builds), limit)] {
		out.Builds = append(out.Builds, buildOf(b))
	}
	out.More = len(builds) > limit
	return out, nil
}

// buildProvenance writes the engine's own account of how a build was made.
func (s *Server) buildProvenance(w http.ResponseWriter, r *http.Request) {
	b, err := s.findBuild(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p, err := store.GetProvenance(r.Context(), s.d.Store.Q(), b.ID)
	if err == nil && p == nil {
		err = notFound("", "build %s left no provenance: it is %s", b.ID, b.State)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(p)
}

func (s *Server) findBuild(ctx context.Context, id string) (store.Build, error) {
	b, err := store.GetBuild(ctx, s.d.Store.Q(), id)
	if errors.Is(err, store.ErrNoRows) {
		return b, notFound("see a rollout's builds: rebuilder rollouts ID", "there is no build %q", id)
	}
	return b, err
}

// imageLog redirects to the newest build of an image.
func (s *Server) imageLog(w http.ResponseWriter, r *http.Request, name string) {
	builds, err := store.Builds(r.Context(), s.d.Store.Q(), name, 1)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if len(builds) == 0 {
		s.fail(w, r, s.noBuild(r.Context(), name))
		return
	}
	to := url.URL{Path: "/api/v1/builds/" + builds[0].ID + "/log", RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, to.String(), http.StatusFound)
}

func (s *Server) noBuild(ctx context.Context, name string) error {
	v, err := s.view(ctx)
	if err != nil {
		return err
	}
	if _, mistake := v.find(name); mistake != nil {
		return mistake
	}
	return notFound("see why: rebuilder why "+name, "%s was not built by this daemon", name)
}

// followEvery is how often a log that is being written is looked at.
const followEvery = 300 * time.Millisecond

// buildLog writes a log as text; with ?follow=1 until the build has ended.
func (s *Server) buildLog(w http.ResponseWriter, r *http.Request) {
	follow, err := flag(r, "follow")
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if id := r.PathValue("id"); testID.MatchString(id) {
		s.testLog(w, r, id)
		return
	}
	b, err := s.findBuild(r.Context(), r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f, err := os.Open(b.Log)
	if errors.Is(err, fs.ErrNotExist) {
		s.fail(w, r, notFound("", "the log of build %s is not there any more", b.ID))
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.copyLog(r.Context(), w, f, b, follow); err != nil {
		s.d.Log.Debug("log not sent to its end", "build", b.ID, "error", err)
	}
}

// testID is that of tests inside an image: they have a log, and no record of their own.
var testID = regexp.MustCompile(`^t-[A-Za-z0-9._-]+$`)

// testLog writes what tests inside an image have said so far.
func (s *Server) testLog(w http.ResponseWriter, r *http.Request, id string) {
	f, err := os.OpenInRoot(s.d.Logs, id+".log")
	if errors.Is(err, fs.ErrNotExist) {
		err = notFound("see a rollout's images: rebuilder rollouts ID", "there is no log of tests %q", id)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if _, err := io.Copy(w, f); err != nil {
		s.d.Log.Debug("log not sent to its end", "tests", id, "error", err)
	}
}

// copyLog copies what is there, and while the build runs what comes. It looks whether the build runs before it copies,
// so that what was written last is not missed.
func (s *Server) copyLog(ctx context.Context, w http.ResponseWriter, f io.Reader, b store.Build, follow bool) error {
	for {
		running := follow && b.State == "running"
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		if !running {
			return nil
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		if err := sleep(ctx, followEvery); err != nil {
			return err
		}
		var err error
		if b, err = store.GetBuild(ctx, s.d.Store.Q(), b.ID); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
