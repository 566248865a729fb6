package advisory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// newsCache keeps what hits digests for as long as the advisories are as they are.
type newsCache struct {
	mu    sync.Mutex
	state string
	known map[string][]fixable // by digest
}

// fixable is a finding with a fix, with the package that it hits.
type fixable struct {
	policy.Finding
	family, source, sourceVersion string
}

// New returns the advisories that hit what bases are now and for whose packages a patch is on offer: what a rebuild would
// fix. It is level-triggered: an advisory is returned until the base is another digest, or the patch is not on offer any
// more. What has no patch yet is no reason to build. It implements reconcile.Advisories.
func (b *Book) New(ctx context.Context, f plan.Facts) ([]plan.Advisory, error) {
	state, err := b.State(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string][]fixable{}
	var out []plan.Advisory
	for _, name := range slices.Sorted(maps.Keys(f.Bases)) {
		base := f.Bases[name]
		offered := offers(base)
		if !base.Exists() || base.Unknown != "" || len(offered) == 0 {
			continue
		}
		digest := base.Digest.String()
		if _, ok := known[digest]; !ok {
			if known[digest], err = b.fixable(ctx, state, digest); err != nil {
				return nil, fmt.Errorf("advisories for %s: %w", name, err)
			}
		}
		out = append(out, fixedBy(name, known[digest], offered)...)
	}
	b.news.mu.Lock()
	defer b.news.mu.Unlock()
	b.news.state, b.news.known = state, known // of digests that are gone nothing is kept
	return out, nil
}

// State returns a text that is another one whenever anything of the advisories is another: what was found before is to be found
// anew.
func (b *Book) State(ctx context.Context) (string, error) {
	all, err := store.AdvisorySources(ctx, b.store.Q())
	var out strings.Builder
	for _, s := range all {
		fmt.Fprintf(&out, "%s %d %s\n", s.Name, s.Revision, strings.Join(s.Ecosystems, ","))
	}
	return out.String(), err
}

// fixable are the findings of a digest that have a fix; nil when its inventory is not there.
func (b *Book) fixable(ctx context.Context, state, digest string) ([]fixable, error) {
	b.news.mu.Lock()
	have, ok := b.news.known[digest]
	ok = ok && have != nil && b.news.state == state
	b.news.mu.Unlock()
	if ok {
		return have, nil
	}
	inv, found, err := store.GetInventory(ctx, b.store.Q(), digest)
	if err != nil || !found {
		return nil, err // it is read before long
	}
	r, err := b.Findings(ctx, inv)
	if err != nil {
		return nil, err
	}
	type key struct{ family, name, version string }
	of := map[key]inventory.Package{}
	for _, p := range inv.Packages {
		of[key{typeOf(p), p.Name, p.Version}] = p
	}
	out := []fixable{}
	for _, f := range r.Findings {
		if f.FixedIn == "" || libraries[f.Type] != "" {
			continue
		}
		p := of[key{f.Type, f.Package, f.Version}]
		one := fixable{f, f.Type, cmp.Or(p.Source, p.Name), cmp.Or(p.SourceVersion, p.Version)}
		if !distributions[inv.OS.ID].source {
			one.sourceVersion = f.Version // the fix is a version of the package itself
		}
		out = append(out, one)
	}
	return out, nil
}

// offers are the patches that a rebuild of a base itself would bring in, by package.
func offers(b plan.Base) map[string][]plan.Patch {
	out := map[string][]plan.Patch{}
	for _, p := range b.Patches {
		if p.Inherited == "" && !p.Held {
			out[p.Package] = append(out[p.Package], p)
		}
	}
	return out
}

// fixedBy are the advisories of which a patch on offer has the fix, one for each, with the first package that it hits.
func fixedBy(image string, known []fixable, offered map[string][]plan.Patch) (out []plan.Advisory) {
	seen := map[string]bool{}
	for _, f := range known {
		if seen[f.ID] || !slices.ContainsFunc(offered[f.Package], func(p plan.Patch) bool { return f.in(p) }) {
			continue
		}
		seen[f.ID] = true
		out = append(out, plan.Advisory{Image: image, ID: f.ID, Since: moment(f.Published), Severity: string(f.Severity), Exploited: f.Exploited,
			Package: f.Package, Version: f.Version, FixedIn: f.FixedIn})
	}
	return out
}

// in says that a patch has the fix. Where that cannot be told nothing is lost: the patch is a reason of its own to rebuild.
func (f fixable) in(p plan.Patch) bool {
	return cmp.Or(p.Type, inventory.Deb) == f.family && fixes(f.family, f.Version, f.sourceVersion, p.To, f.FixedIn)
}

// fixes says that a newer version of a package has a fix. The fix is a version of the source: where the package has other
// versions than its source, nothing can be told by it.
func fixes(family, version, sourceVersion, newer, fix string) bool {
	if fix == "" || rebuilt(version) != sourceVersion {
		return false
	}
	c, err := patch.Compare(family, newer, fix)
	return err == nil && c >= 0
}

// rebuilt is the source's version of a package of Debian that was built again without a change: 1.0-1+b2 is of 1.0-1.
func rebuilt(version string) string {
	i := strings.LastIndex(version, "+b")
	if i < 0 || i+2 == len(version) || strings.Trim(version[i+2:], "0123456789") != "" {
		return version
	}
	return version[:i]
}
