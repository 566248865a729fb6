// Package mirror takes what the demo's world is made of from the machine's own Debian package sources: a root file system
// at the versions of the main suite, the packages that the bases install, and a security update that has been published
// since. All of it is real; all of it is cached.
//
//	sources, err := mirror.Discover(ctx)
//	contents, err := mirror.Fetch(ctx, sources, mirror.Config{Cache: dir, Install: []string{"python3-minimal"}})
package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// recipe is part of every cache key: raise it when what is made changes.
const recipe = "1"

// freshFor is how long contents are taken as they are, without asking the sources again.
const freshFor = 10 * time.Minute

// unusedFor is how long something in the cache stays without being used.
const unusedFor = 7 * 24 * time.Hour

// Config says what is wanted. Cache is required.
type Config struct {
	Cache    string              // directory; shared by runs, also at the same time
	Install  []string            // packages that bases install on top of the root file system, each on its own
	Progress func(string)        // one line for each thing that takes long; may be nil
	Warn     func(string, error) // something went wrong that the cache made up for; may be nil
}

// Contents are files in the cache. They stay there for days; copy what is needed for longer.
type Contents struct {
	RootFS   string    // gzipped tar file
	Status   string    // its dpkg status file
	Packages []string  // .deb files at the versions of the main suite
	Update   *Update   // nil when the security suite has nothing newer for the root file system
	Made     time.Time // when the root file system was packed
}

// Update is a security update of one source package.
type Update struct {
	Source   string
	Packages []Upgrade // the binary packages that the root file system has of it, sorted by name
	Debs     []string  // their .deb files, in the same order
}

// Upgrade is one binary package, installed and newer.
type Upgrade struct{ Name, From, To string }

// Fetch returns the contents, from the cache where its sources have not changed; these are asked every ten minutes at most.
// Only one Fetch works on a cache at a time,
// in all processes.
func Fetch(ctx context.Context, s Sources, c Config) (*Contents, error) {
	f, err := newFetcher(s, c)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(f.Cache, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", f.Cache, err)
	}
	defer unlock()
	if err := os.RemoveAll(f.work); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(f.work) }()
	if contents := f.recent(); contents != nil {
		return contents, nil
	}
	contents, err := f.fetch(ctx)
	if err != nil {
		return nil, err
	}
	return contents, errors.Join(f.remember(contents), f.prune())
}

type fetcher struct {
	Config
	sources Sources
	keys    string // archive keys
	work    string // scratch
}

func newFetcher(s Sources, c Config) (*fetcher, error) {
	cache, err := filepath.Abs(c.Cache)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	c.Cache = cache
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Warn == nil {
		c.Warn = func(string, error) {}
	}
	return &fetcher{Config: c, sources: s, keys: filepath.Join(cache, "keys"), work: filepath.Join(cache, "work")}, nil
}

func (f *fetcher) fetch(ctx context.Context) (*Contents, error) {
	if err := collectKeys(f.keys); err != nil {
		return nil, err
	}
	root, err := f.rootFS(ctx)
	if err != nil {
		return nil, err
	}
	all, err := f.apt(filepath.Join("apt", "all"), root.Status, slices.Concat(f.sources.Main, f.sources.Security))
	if err != nil {
		return nil, err
	}
	if err := f.update(ctx, all, "main and security"); err != nil {
		return nil, err
	}
	if root.Update, err = f.findUpdate(ctx, all, root.Status); err != nil {
		return nil, err
	}
	root.Packages, err = f.packages(ctx, root)
	return root, err
}

// rootFS makes the root file system unless it is there for the present state of the main suite.
func (f *fetcher) rootFS(ctx context.Context) (*Contents, error) {
	empty := filepath.Join(f.Cache, "apt", "empty-status")
	main, err := f.apt(filepath.Join("apt", "main"), empty, f.sources.Main)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return nil, err
	}
	if err := f.update(ctx, main, "main"); err != nil {
		return nil, err
	}
	key, err := keyOf(main, append([]string{recipe, f.sources.Codename, f.sources.Architecture}, included...)...)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.Cache, "rootfs", key)
	c := &Contents{RootFS: filepath.Join(dir, "rootfs.tar.gz"), Status: filepath.Join(dir, "status")}
	if _, err := os.Stat(c.RootFS); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		f.Progress("making a root file system of " + f.sources.Codename + " main (about half a minute, once)")
		if err := makeRootFS(ctx, f.sources, f.keys, f.work, c.RootFS, c.Status); err != nil {
			return nil, err
		}
	}
	info, err := os.Stat(c.RootFS)
	if err != nil {
		return nil, err
	}
	c.Made = info.ModTime()
	return c, touch(dir)
}

// packages downloads, at the versions of the main suite, what Install needs and the binaries that Update replaces.
func (f *fetcher) packages(ctx context.Context, root *Contents) ([]string, error) {
	main, err := f.apt(filepath.Join("apt", "main"), root.Status, f.sources.Main)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, p := range f.Install {
		names, err := main.needs(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("find what %s needs: %w", p, err)
		}
		for _, n := range names {
			wanted[n] = true
		}
	}
	if root.Update != nil {
		for _, u := range root.Update.Packages {
			wanted[u.Name+"="+u.From] = true
		}
	}
	return f.download(ctx, main, "packages of "+f.sources.Codename+" main", sorted(wanted))
}

// download downloads packages into a directory of the cache, unless they are there.
func (f *fetcher) download(ctx context.Context, a *apt, what string, packages []string) ([]string, error) {
	key, err := keyOf(a, packages...)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.Cache, "debs", key)
	if _, err := os.Stat(dir); err != nil && len(packages) > 0 {
		f.Progress(fmt.Sprintf("downloading %d %s", len(packages), what))
		part := filepath.Join(f.work, "debs")
		if err := os.RemoveAll(part); err != nil {
			return nil, err
		}
		if err := a.download(ctx, part, packages...); err != nil {
			return nil, fmt.Errorf("download %s: %w", what, err)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return nil, err
		}
		if err := os.Rename(part, dir); err != nil {
			return nil, err
		}
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return nil, err
	}
	if len(debs) < len(packages) {
		return nil, fmt.Errorf("download %s: %d of %d files in %s; remove that directory", what, len(debs), len(packages), dir)
	}
	return debs, touch(dir)
}

func (f *fetcher) apt(dir, status string, sources []Source) (*apt, error) {
	return newApt(filepath.Join(f.Cache, dir), f.keys, status, f.sources, sources)
}

// update fetches indexes. When that fails the ones that are there do: the machine may be offline.
func (f *fetcher) update(ctx context.Context, a *apt, what string) error {
	err := a.update(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if found, _ := a.lists("_Packages"); len(found) == 0 {
		return fmt.Errorf("fetch the package index of %s %s: %w", f.sources.Codename, what, err)
	}
	f.Warn("the package index could not be fetched; the one in the cache is used", err)
	return nil
}

// keyOf names a state of a's sources and some words.
func keyOf(a *apt, words ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", words)
	files, err := a.lists("Release")
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", errors.New("apt fetched no release file")
	}
	for _, path := range files {
		if err := hashFile(h, path); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

func hashFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(w, f)
	return err
}

// prune removes what has not been used for long.
func (f *fetcher) prune() error {
	for _, kind := range []string{"rootfs", "debs"} {
		entries, err := os.ReadDir(filepath.Join(f.Cache, kind))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || time.Since(info.ModTime()) < unusedFor {
				continue
			}
			if err := os.RemoveAll(filepath.Join(f.Cache, kind, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func touch(path string) error {
	now := time.Now()
	return os.Chtimes(path, now, now)
}

func sorted(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	slices.SortFunc(list, strings.Compare)
	return list
}
