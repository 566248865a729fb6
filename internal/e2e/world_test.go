package e2e

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/api"
	"rebuilder/internal/demo/command"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// changeCatalog replaces pairs of what is in the world's catalog and what comes in its place. More may follow at its end.
func (s *setup) changeCatalog(more string, pairs ...string) {
	s.t.Helper()
	s.replace(s.Catalog, pairs...)
	f, err := os.OpenFile(s.Catalog, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.WriteString(more); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// beside writes a file beside the catalog.
func (s *setup) beside(name, content string, mode fs.FileMode) string {
	s.t.Helper()
	file := filepath.Join(filepath.Dir(s.Catalog), name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func (s *setup) replace(file string, pairs ...string) {
	s.t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(src)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			s.t.Fatalf("no %q in %s:\n%s", pairs[i], file, src)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// commit changes a file of an application's repository as its owner would: pairs of what is there and what comes in its place.
func (s *setup) commit(ctx context.Context, repository, file string, pairs ...string) {
	s.t.Helper()
	dir := s.t.TempDir()
	git := func(args ...string) {
		s.t.Helper()
		if out, err := command.Run(ctx, dir, "git", args...); err != nil {
			s.t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	from := strings.Replace(s.ForgeURL, "http://", "http://owner:"+s.Token+"@", 1) + "/" + repository + ".git"
	git("clone", "-q", from, "work")
	dir = filepath.Join(dir, "work")
	s.replace(filepath.Join(dir, file), pairs...)
	git("-c", "user.name=owner", "-c", "user.email=owner@example.org", "commit", "-qam", "change "+file)
	git("push", "-q", "origin", "HEAD:main")
}

// patched is the name of the file of one package of the update: what an image has of it tells the image of before from the
// one after.
func (s *setup) patched() string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Dir, "update", "*.deb"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("the world has no update: %v", err)
	}
	return filepath.Base(slices.Max(files))
}

// digest is what a reference of the registry, "base/debian:stable", points to.
func (s *setup) digest(ctx context.Context, ref string) string {
	s.t.Helper()
	reg, err := registry.New(registry.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	d, err := reg.Digest(ctx, s.RegistryHost+"/"+ref)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.String()
}

// attached are the kinds of what is attached to a digest, sorted.
func (s *setup) attached(ctx context.Context, image, digest string) (kinds []string) {
	s.t.Helper()
	reg, err := registry.New(registry.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := reg.Referrers(ctx, s.RegistryHost+"/"+image+"@"+digest)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		kinds = append(kinds, r.ArtifactType)
	}
	slices.Sort(kinds)
	return kinds
}

// documents are what each promoted digest has attached.
var documents = []string{"application/spdx+json", "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}

// removeTag takes a tag away, as somebody else would who may write to the registry.
func (s *setup) removeTag(ctx context.Context, image, tag string) {
	s.t.Helper()
	if resp := s.request(ctx, http.MethodDelete, "http://"+s.RegistryHost+"/v2/"+image+"/manifests/"+tag); resp.StatusCode != http.StatusAccepted {
		s.t.Fatalf("remove %s:%s: %s", image, tag, resp.Status)
	}
}

func (s *setup) request(ctx context.Context, method, url string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// trials are the builds of an application on candidates of a base, newest first.
func (s *setup) trials(ctx context.Context, image, base string) (out []api.Build) {
	s.t.Helper()
	all, err := s.client().Builds(ctx, image, 20)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range all.Builds {
		if b.Trial == base {
			whole, err := s.client().Build(ctx, b.ID)
			if err != nil {
				s.t.Fatal(err)
			}
			out = append(out, whole)
		}
	}
	return out
}

// logOf is what `rebuilder logs` shows.
func (s *setup) logOf(id string) string {
	s.t.Helper()
	out, err := command.Run(s.t.Context(), "", binary, "logs", id, "--server", "http://"+s.DaemonAddress)
	if err != nil {
		s.t.Fatalf("rebuilder logs %s: %v", id, err)
	}
	return string(out)
}

// memory opens what a daemon that was stopped has remembered.
func (s *setup) memory() *store.Store {
	s.t.Helper()
	st, err := store.Open(s.t.Context(), "sqlite:"+filepath.Join(s.StateDirectory, "rebuilder.db"), testLog(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = st.Close() })
	return st
}

// holds is the first file below a directory that has a text in it; empty when none has.
func holds(dir, text string) (found string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || found != "" {
			return ignoreGone(err)
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(text)) {
			found = path
		}
		return ignoreGone(err)
	})
	return found, err
}

// ignoreGone: what is looked through is in use.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// until waits for something that is so at last.
func (s *setup) until(ctx context.Context, what string, so func() bool) {
	s.t.Helper()
	for !so() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			s.t.Fatalf("%s: it does not come: %v\n%s", what, context.Cause(ctx), s.daemon.log())
		}
	}
}

// says waits until an image has come to a state for a reason, about which somebody can do something.
func (s *setup) says(ctx context.Context, image, state, reason, who string) {
	s.t.Helper()
	s.until(ctx, image+" is to be "+state+": "+reason, func() bool {
		why, err := s.client().Why(ctx, image, "")
		if err != nil {
			return false
		}
		return slices.ContainsFunc(why.Last, func(n api.Node) bool {
			return n.State == state && strings.Contains(n.Sentence, reason) && n.Who == who
		})
	})
}

// isSaid waits until something is said of an image that cannot be looked at, or until the image is known when nothing is to be
// said.
func (s *setup) isSaid(ctx context.Context, image, words string) {
	s.t.Helper()
	if words != "" {
		s.whySays(ctx, image, words)
		return
	}
	s.until(ctx, image+" is to be known", func() bool {
		why, err := s.client().Why(ctx, image, "")
		return err == nil && why.Image.Digest != ""
	})
}

// verdictIs waits for the verdict on a digest.
func (s *setup) verdictIs(ctx context.Context, image, digest, outcome string) {
	s.t.Helper()
	s.until(ctx, "the verdict on "+image+" is to be "+outcome, func() bool {
		log, err := s.client().Audit(ctx, image, 100)
		return err == nil && slices.ContainsFunc(log.Events, func(e api.Event) bool { return e.Action == "verdict "+outcome && e.Detail == digest })
	})
}
