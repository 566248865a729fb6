package discover

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

const maxTagPages = 10 // of one repository: of 1,000 tags each, where the registry gives as many

// repositoryName and tagName are those of the OCI distribution specification.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

const (
	maxName   = 255 // bytes of a repository's name
	maxLayers = 256 // the lowest of an image, by which its parents are found; no machine can run one of more than 128
)

// registryWalk walks a registry, or what is below a path of it.
type registryWalk struct {
	*slice
	host, below string
}

func newRegistryWalk(s *slice) *registryWalk {
	host, below, _ := strings.Cut(s.place.name, "/")
	return &registryWalk{slice: s, host: host, below: below}
}

func (r *registryWalk) passing(err error) bool     { return r.cfg.Registry.Passing(err) }
func (r *registryWalk) repository(one item) string { return r.host + "/" + one.name }
func (r *registryWalk) later(err error) error {
	if err != nil && r.cfg.Registry.Limited(err) {
		return &pause{r.cfg.Now().Add(busyPause), "the registry asks to come later"}
	}
	return limited(err)
}

// Cursors begin with the list that they belong to, as a registry has its own or the forge has it.
const (
	ofCatalog  = "catalog:"
	ofPackages = "packages:" // then the organisation's index in the catalog, ":", the forge's cursor
)

func (r *registryWalk) page(ctx context.Context, cursor string) (items []item, next string, refused int, err error) {
	if rest, ok := strings.CutPrefix(cursor, ofPackages); ok {
		return r.packages(ctx, rest)
	}
	names, next, err := r.cfg.Registry.Repositories(ctx, r.host, strings.TrimPrefix(cursor, ofCatalog))
	r.spend(1)
	if errors.Is(err, registry.ErrNoCatalog) {
		return r.withoutCatalog(ctx, err)
	}
	if err != nil {
		return nil, "", 0, r.later(err)
	}
	if next != "" {
		next = ofCatalog + next
	}
	items, refused = r.items(names)
	return items, next, refused, nil
}

// items are the names that are below our path; refused counts those that are no names.
func (r *registryWalk) items(names []string) (items []item, refused int) {
	for _, n := range names {
		switch {
		case len(n) > maxName || !repositoryName.MatchString(n):
			refused++
		case r.below == "" || n == r.below || strings.HasPrefix(n, r.below+"/"):
			items = append(items, item{name: n})
		}
	}
	return items, refused
}

// withoutCatalog finds another way: the forge's own list of packages, or the one repository that the catalog names.
func (r *registryWalk) withoutCatalog(ctx context.Context, cause error) ([]item, string, int, error) {
	if r.cfg.Forge != nil && slices.Contains(r.packageHosts(r.c), r.host) {
		if len(r.organizations()) > 0 {
			return r.packages(ctx, "0:")
		}
		return nil, "", 0, fmt.Errorf("%w: name the organization under organizations in [discovery], whose packages the forge lists", cause)
	}
	if r.below == "" {
		return nil, "", 0, fmt.Errorf("%w: name repositories one by one in [discovery], such as %q", cause, r.host+"/team/web")
	}
	items, refused := r.items([]string{r.below})
	return items, "", refused, nil
}

// organizations are those whose packages are below our path.
func (r *registryWalk) organizations() (orgs []string) {
	for _, o := range r.c.Discovery.Organizations {
		at := strings.ToLower(o)
		if r.below == "" || r.below == at || strings.HasPrefix(r.below, at+"/") {
			orgs = append(orgs, o)
		}
	}
	return orgs
}

func (r *registryWalk) packages(ctx context.Context, cursor string) ([]item, string, int, error) {
	var at int
	var page string
	if _, err := fmt.Sscanf(cursor, "%d:", &at); err != nil {
		return nil, "", 0, fmt.Errorf("the walk is at page %q, which is none: %w", cursor, err)
	}
	_, page, _ = strings.Cut(cursor, ":")
	orgs := r.organizations()
	if at >= len(orgs) { // the catalog has fewer now
		return nil, "", 0, nil
	}
	names, next, rate, err := r.cfg.Forge.Packages(ctx, orgs[at], page)
	r.spend(1)
	if err != nil {
		return nil, "", 0, limited(err)
	}
	r.reserve(rate)
	for i, n := range names {
		names[i] = strings.ToLower(orgs[at] + "/" + n)
	}
	items, refused := r.items(names)
	switch {
	case next != "":
		next = fmt.Sprintf("%s%d:%s", ofPackages, at, next)
	case at+1 < len(orgs):
		next = fmt.Sprintf("%s%d:", ofPackages, at+1)
	}
	return items, next, refused, nil
}

// look looks at a few tags of a repository.
func (r *registryWalk) look(ctx context.Context, one item) (found, error) {
	repo := r.repository(one)
	tags, all, err := r.tags(ctx, repo)
	if errors.Is(err, registry.ErrNotFound) {
		return found{}, nil // its rows are looked at by themselves
	}
	if err != nil {
		return found{}, r.later(err)
	}
	have, err := r.have(ctx, repo)
	if err != nil {
		return found{}, err
	}
	picked := pick(tags, channels(r.c, repo), r.cfg.Tags)
	var got found
	for _, p := range picked {
		row, there, err := r.image(ctx, repo, p.tag, have)
		if err != nil {
			return found{}, err
		}
		if there {
			row.Note = p.note(len(tags), len(picked), all)
			got.save = append(got.save, row)
		}
	}
	for _, row := range have {
		if row.Name == repo {
			got.forget = append(got.forget, row.Key) // it could not be read before
			continue
		}
		tag := strings.TrimPrefix(row.Name, repo+":")
		if slices.Contains(tags, tag) && !slices.ContainsFunc(picked, func(p choice) bool { return p.tag == tag }) {
			got.forget = append(got.forget, row.Key) // it is there and others are of more interest now
		}
	}
	return got, nil
}

// unread stands for all tags of a repository.
func (r *registryWalk) unread(one item, _ store.Observed) store.Observed {
	repo := r.repository(one)
	return store.Observed{Key: imageKey(repo), Kind: store.ObservedImage, Name: repo, Repository: repo}
}

// tags are all of a repository, or all is false.
func (r *registryWalk) tags(ctx context.Context, repo string) (tags []string, all bool, err error) {
	cursor := ""
	for range maxTagPages {
		page, next, err := r.cfg.Registry.Tags(ctx, repo, cursor)
		r.spend(1)
		if err != nil {
			return nil, false, err
		}
		for _, t := range page {
			if tagName.MatchString(t) {
				tags = append(tags, t)
			} else {
				r.walk.Refused++
			}
		}
		if cursor = next; cursor == "" {
			slices.Sort(tags)
			return slices.Compact(tags), true, nil
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), false, nil
}

// channels are the tags of a repository that the catalog follows.
func channels(c *catalog.Catalog, repo string) (tags []string) {
	repo, _, _ = parts(repo)
	add := func(ref string) {
		if of, tag, ok := parts(ref); ok && of == repo && tag != "" {
			tags = append(tags, tag)
		}
	}
	for _, b := range c.Bases {
		add(b.Reference())
	}
	for _, u := range c.Upstreams {
		add(u.Image)
	}
	for _, a := range c.Applications {
		for _, i := range a.Images {
			add(i.Image)
		}
	}
	return tags
}

func imageKey(ref string) string { return "image " + ref }

// image looks at one tag: 1 request when it points to where it did. there is false when it is gone meanwhile.
func (r *registryWalk) image(ctx context.Context, repo, tag string, have []store.Observed) (row store.Observed, there bool, err error) {
	ref := repo + ":" + tag
	row = store.Observed{Key: imageKey(ref), Kind: store.ObservedImage, Name: ref, Repository: repo}
	digest, err := r.cfg.Registry.Digest(ctx, ref)
	r.spend(1)
	if err != nil || digest == (v1.Hash{}) {
		return row, false, r.later(err)
	}
	row.Digest = digest.String()
	if i := slices.IndexFunc(have, func(o store.Observed) bool { return o.Key == row.Key }); i >= 0 && have[i].Digest == row.Digest && described(have[i]) {
		row.Detail = have[i].Detail
		return row, true, r.judge.image(ctx, &row)
	}
	desc, err := r.cfg.Registry.Describe(ctx, repo+"@"+row.Digest)
	r.spend(max(1, desc.Requests))
	if err = r.later(err); err != nil && (r.ends(ctx, err) || r.passing(err)) {
		return row, false, err
	}
	if err != nil {
		row.Unknown = "what it is made of: " + err.Error()
		return row, true, nil
	}
	row.Detail = detailOf(desc)
	return row, true, r.judge.image(ctx, &row)
}

// described says that a digest was looked into before.
func described(o store.Observed) bool { return len(o.Detail.Platforms) > 0 || o.Detail.Artifact != "" }

func detailOf(desc registry.Description) store.ObservedDetail {
	d := store.ObservedDetail{Omitted: desc.Omitted, Artifact: desc.Artifact}
	if len(desc.Platforms) == 0 && d.Artifact == "" {
		d.Artifact = desc.MediaType // an index of no image
	}
	for _, p := range desc.Platforms {
		one := store.ObservedPlatform{Platform: p.Platform, Manifest: p.Manifest.String(), BaseName: p.BaseName, BaseDigest: p.BaseDigest}
		for _, l := range p.DiffIDs[:min(len(p.DiffIDs), maxLayers)] {
			one.DiffIDs = append(one.DiffIDs, l.String())
		}
		d.Platforms = append(d.Platforms, one)
	}
	return d
}

// verify looks at a tag that the walk did not see.
func (r *registryWalk) verify(ctx context.Context, row store.Observed) (found, error) {
	repo, tag := row.Repository, strings.TrimPrefix(row.Name, row.Repository+":")
	if !r.wanted(strings.TrimPrefix(repo, r.host+"/")) {
		return found{forget: []string{row.Key}}, nil
	}
	if row.Name == repo { // it was never read
		_, _, err := r.tags(ctx, repo)
		if errors.Is(err, registry.ErrNotFound) {
			return found{gone: []string{row.Key}}, nil
		}
		return found{forget: []string{row.Key}}, r.later(err)
	}
	seen, there, err := r.image(ctx, repo, tag, []store.Observed{row})
	if err != nil {
		return found{}, err
	}
	if !there {
		return found{gone: []string{row.Key}}, nil
	}
	seen.Note = "the registry's list does not have it"
	return found{save: []store.Observed{seen}}, nil
}
