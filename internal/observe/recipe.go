package observe

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"rebuilder/internal/catalog"
	"rebuilder/internal/dockerfile"
	"rebuilder/internal/graph"
	"rebuilder/internal/plan"
	"rebuilder/internal/registry"
)

// recipe is a base's Dockerfile and context as they are now.
type recipe struct {
	src       []byte // the Dockerfile
	hash      string
	parents   []plan.Parent
	unwatched []string // "ubuntu:24.04 (Dockerfile:1)"
	problem   string
	doubt     string // why more of its steps are run again for a patch than those that install packages
	uncached  bool   // it is built without a cache
	fired     bool   // the ONBUILDs of its parents are known, and count
}

// inherits returns the image of the catalog that the recipe's target stands on.
func (r *recipe) inherits() (plan.Parent, bool) {
	i := slices.IndexFunc(r.parents, func(p plan.Parent) bool { return p.Kind == graph.Inherits })
	if i < 0 {
		return plan.Parent{}, false
	}
	return r.parents[i], true
}

// maxDockerfile bounds how much of a Dockerfile is read.
const maxDockerfile = 4 << 20

// readRecipe reads a base's recipe. What is wrong with it is in problem, for the facts.
func readRecipe(ctx context.Context, known names, b catalog.Base) *recipe {
	r := &recipe{}
	src, err := readFile(filepath.Join(b.Context, filepath.FromSlash(b.Dockerfile)))
	if err == nil {
		r.hash, err = hashContext(ctx, b, src)
	}
	if err != nil {
		r.problem = err.Error()
		return r
	}
	r.src = src
	r.madeFrom(known, b, nil)
	if runs, err := dockerfile.Runs(src); err == nil { // what is wrong with the file is the problem already
		_, r.doubt = dockerfile.PackageSteps(runs)
	}
	return r
}

// madeFrom finds what the recipe is made from, when the ONBUILDs of images that it is built on are known.
func (r *recipe) madeFrom(known names, b catalog.Base, triggers dockerfile.Triggers) {
	refs, err := references(b, r.src, triggers)
	if err != nil {
		r.problem = err.Error()
		return
	}
	r.parents, r.unwatched = nil, nil
	for _, ref := range refs {
		where := where(ref.file, ref.line)
		if image, _, ok := known.find(ref); ok {
			r.parents = append(r.parents, plan.Parent{Name: image.name, Reference: ref.spelt(), Kind: ref.kind, Where: where, Platform: ref.platform})
		} else {
			r.unwatched = append(r.unwatched, ref.spelt()+" ("+where+")")
		}
	}
	r.problem = mixed(b, r.parents)
}

// mixed says what is wrong with the platforms for which a recipe takes its parents; empty when nothing is.
func mixed(b catalog.Base, parents []plan.Parent) string {
	for i, p := range parents {
		if p.Kind == graph.Inherits && p.Platform != registry.PlatformName(b.Platform) {
			return fmt.Sprintf("it is built for %s, but stands on %s for %s (%s): take that for the same platform, or give the base that one in the catalog", b.Platform, p.Name, p.Platform, p.Where)
		}
		k := slices.IndexFunc(parents[:i], func(o plan.Parent) bool { return o.Name == p.Name && o.Platform != p.Platform })
		if k >= 0 {
			return fmt.Sprintf("it takes %s for %s (%s) and for %s (%s), and a build takes one digest for one reference: give one of them another tag, and the catalog an [[upstream]] for it",
				p.Name, parents[k].Platform, parents[k].Where, p.Platform, p.Where)
		}
	}
	return ""
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxDockerfile+1))
	if err == nil && len(src) > maxDockerfile {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxDockerfile>>20)
	}
	return src, err
}

// platforms says for which platform each image is looked into: a base's is in the catalog, an upstream's is that for which
// the first base inherits from it, or else takes anything of it. A base that inherits from an image that is looked into for
// another platform has a problem: its parent would be another image than the one that is watched.
func platforms(c *catalog.Catalog, recipes map[string]*recipe) map[string]string {
	of := map[string]string{}
	for _, b := range c.Bases {
		of[b.Name] = registry.PlatformName(b.Platform)
	}
	for _, inherited := range []bool{true, false} {
		for _, b := range c.Bases {
			for _, p := range recipes[b.Name].parents {
				if (p.Kind == graph.Inherits) == inherited {
					of[p.Name] = cmp.Or(of[p.Name], p.Platform)
				}
			}
		}
	}
	for _, b := range c.Bases {
		r := recipes[b.Name]
		if p, ok := r.inherits(); ok && of[p.Name] != p.Platform && r.problem == "" {
			r.problem = fmt.Sprintf("it is built for %s, but %s (%s) is looked at for %s: give both the same platform in the catalog", b.Platform, p.Name, p.Where, of[p.Name])
		}
	}
	return of
}

// maxContext bounds how much of a context is read, so that a forgotten disk image does not stop the daemon.
const maxContext = 4 << 30

// hashContext hashes what a build would send: the files that .dockerignore leaves, with their modes, the Dockerfile,
// target, arguments and labels. Times do not matter.
func hashContext(ctx context.Context, b catalog.Base, src []byte) (string, error) {
	root, err := filepath.EvalSymlinks(b.Context) // WalkDir does not follow its root
	if err != nil {
		return "", err
	}
	ignored, err := ignores(root, b.Dockerfile)
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
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
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

// ignores reads what a build leaves out: the Dockerfile's own .dockerignore wins over the context's, as with BuildKit.
func ignores(root, file string) (*patternmatcher.PatternMatcher, error) {
	for _, name := range []string{filepath.FromSlash(file) + ".dockerignore", ".dockerignore"} {
		f, err := os.Open(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		patterns, err := ignorefile.ReadAll(io.LimitReader(f, maxDockerfile))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		return patternmatcher.New(patterns)
	}
	return patternmatcher.New(nil)
}

// reference is one image that a Dockerfile names and that its target needs.
type reference struct {
	name       string // resolved, without digest; empty when build arguments give it that are not known
	raw        string // as written
	digest     string
	kind       graph.EdgeKind
	platform   string // for which it is taken
	file       string
	line       int
	rewritable bool
	why        string
}

// spelt is the reference as the Dockerfile has it, with its digest.
func (r reference) spelt() string {
	if r.digest == "" {
		return r.name
	}
	return r.name + "@" + r.digest
}

// where is a place in a Dockerfile; line 0 is what stands in none.
func where(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// references are the images that a base's Dockerfile needs, with the ONBUILDs of those that are known. A file that another
// frontend than Docker's reads is an error: what it takes from the file is not known.
func references(b catalog.Base, src []byte, triggers dockerfile.Triggers) ([]reference, error) {
	args := map[string]string{"TARGETPLATFORM": b.Platform, "BUILDPLATFORM": buildPlatform}
	maps.Copy(args, b.Args)
	f, err := readable(b.Dockerfile, src, args)
	if err != nil {
		return nil, err
	}
	used, err := f.UsesOn(b.Target, triggers)
	refs := needed(f, used)
	for i := range refs {
		if refs[i].platform == f.Platform() {
			refs[i].platform = b.Platform // without the variant that BuildKit adds
		}
		refs[i].platform = registry.PlatformName(refs[i].platform)
	}
	return refs, err
}

// buildPlatform is what BUILDPLATFORM is in a build of ours, where the catalog gives a base no such build argument: the
// engine is taken to be of this machine's kind. A build that finds another one refuses what was pinned for this.
const buildPlatform = "linux/" + runtime.GOARCH

func readable(path string, src []byte, args map[string]string) (*dockerfile.File, error) {
	f, err := dockerfile.Parse(path, src, args)
	if err != nil {
		return nil, err
	}
	if frontend := f.Frontend(); frontend != "" {
		return nil, fmt.Errorf("%s: its # syntax= has %s read it, not docker/dockerfile: what that takes from the file is not known", path, frontend)
	}
	return f, nil
}

// needed are the references that are edges of the graph.
func needed(f *dockerfile.File, used []dockerfile.Used) (out []reference) {
	for _, u := range used {
		kind := graph.EdgeKind(u.Use)
		if kind != graph.Inherits && kind != graph.BuildsWith && kind != graph.CopiesFrom {
			continue
		}
		name, digest := splitDigest(u.Name)
		out = append(out, reference{name: name, raw: u.Raw, digest: digest, kind: kind, platform: u.Platform, file: f.Path, line: u.Line, rewritable: u.Rewritable, why: u.Why})
	}
	return out
}
