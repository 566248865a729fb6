package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
)

// recipe is a base's Dockerfile and context as they are now.
type recipe struct {
	hash    string
	parents []plan.Parent
	problem string
}

// inherits returns the image of the catalog that the recipe's target stands on.
func (r *recipe) inherits() (plan.Parent, bool) {
	i := slices.IndexFunc(r.parents, func(p plan.Parent) bool { return p.Kind == graph.Inherits })
	if i < 0 {
		return plan.Parent{}, false
	}
	return r.parents[i], true
}

// readRecipe reads a base's recipe. What is wrong with it is in problem, for the facts.
func readRecipe(c *catalog.Catalog, b catalog.Base) *recipe {
	r := &recipe{}
	path := filepath.Join(b.Context, filepath.FromSlash(b.Dockerfile))
	src, err := os.ReadFile(path)
	if err != nil {
		r.problem = err.Error()
		return r
	}
	if r.hash, err = hashContext(b, src); err != nil {
		r.problem = err.Error()
		return r
	}
	refs, err := references(b.Dockerfile, src, b.Args, b.Target)
	if err != nil {
		r.problem = err.Error()
		return r
	}
	for _, ref := range refs {
		if name, ok := imageNamed(c, ref.name); ok {
			r.parents = append(r.parents, plan.Parent{Name: name, Reference: ref.name, Kind: ref.kind, Where: fmt.Sprintf("%s:%d", ref.file, ref.line)})
		}
	}
	return r
}

// maxContext bounds how much of a context is read, so that a forgotten disk image does not stop the daemon.
const maxContext = 4 << 30

// hashContext hashes what a build would send: the files that .dockerignore leaves, with their modes, the Dockerfile,
// target, arguments and labels. Times do not matter.
func hashContext(b catalog.Base, src []byte) (string, error) {
	ignored, err := ignores(b)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "dockerfile %x\ntarget %s\nplatform %s\n", sha256.Sum256(src), b.Target, b.Platform)
	for _, m := range []map[string]string{b.Args, b.Labels} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(sum, "%q=%q\n", k, m[k])
		}
	}
	var total int64
	err = filepath.WalkDir(b.Context, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(b.Context, path)
		if err != nil || rel == "." {
			return err
		}
		if skip, err := ignored.MatchesOrParentMatches(rel); err != nil || skip {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxContext {
			return fmt.Errorf("context %s has more than %d MiB: name what is not needed in .dockerignore", b.Context, maxContext>>20)
		}
		return hashFile(sum, path, rel, info)
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func hashFile(sum io.Writer, path, rel string, info fs.FileInfo) error {
	fmt.Fprintf(sum, "%q %o ", filepath.ToSlash(rel), info.Mode())
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "-> %q", to)
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		content := sha256.New()
		if _, err := io.Copy(content, f); err != nil {
			return err
		}
		fmt.Fprintf(sum, "%x", content.Sum(nil))
	}
	_, err := io.WriteString(sum, "\n")
	return err
}

func ignores(b catalog.Base) (*patternmatcher.PatternMatcher, error) {
	f, err := os.Open(filepath.Join(b.Context, ".dockerignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return patternmatcher.New(nil)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return patternmatcher.New(patterns)
}

// reference is one image that a Dockerfile names and that its target needs.
type reference struct {
	name       string // resolved, without digest
	digest     string
	kind       graph.EdgeKind
	file       string
	line       int
	rewritable bool
	why        string
}

// imageNamed finds the image of the catalog that a reference (without digest) means.
func imageNamed(c *catalog.Catalog, ref string) (string, bool) {
	repo, tag := splitTag(ref)
	for _, b := range c.Bases {
		if b.Image == repo && (tag == b.Channel) {
			return b.Name, true
		}
	}
	for _, u := range c.Upstreams {
		if r, t := splitTag(u.Image); r == repo && t == tag {
			return u.Name, true
		}
	}
	return "", false
}

// splitTag splits "host:5000/name:tag" into repository and tag; no tag means "latest".
func splitTag(ref string) (repo, tag string) {
	ref, _ = splitDigest(ref)
	i := strings.LastIndex(ref, ":")
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, "latest"
	}
	return ref[:i], ref[i+1:]
}

func splitDigest(ref string) (name, digest string) {
	name, digest, _ = strings.Cut(ref, "@")
	return name, digest
}

// withDigest names the very same image by digest.
func withDigest(ref string, d interface{ String() string }) string {
	repo, _ := splitTag(ref)
	return repo + "@" + d.String()
}

// references are the images that a Dockerfile's target needs.
func references(path string, src []byte, args map[string]string, target string) ([]reference, error) {
	f, err := dockerfile.Parse(path, src, args)
	if err != nil {
		return nil, err
	}
	used, err := f.Uses(target)
	if err != nil {
		return nil, err
	}
	var out []reference
	for _, u := range used {
		kind := graph.EdgeKind(u.Use)
		if kind != graph.Inherits && kind != graph.BuildsWith && kind != graph.CopiesFrom {
			continue
		}
		name, digest := splitDigest(u.Name)
		out = append(out, reference{name: name, digest: digest, kind: kind, file: path, line: u.Line, rewritable: u.Rewritable, why: u.Why})
	}
	return out, nil
}
