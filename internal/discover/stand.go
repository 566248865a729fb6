package discover

import (
	"context"
	"fmt"
	"strings"

	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// stand finds whose layers an image's begin with, platform by platform, and says for which nobody's do. What an annotation
// claims beyond that is a parent, too: a claim.
func (s *slice) stand(ctx context.Context, row *store.Observed) error {
	var unknown []string
	row.Parents = nil
	for _, p := range row.Detail.Platforms {
		if len(p.DiffIDs) == 0 {
			continue // it stands on nothing
		}
		all, err := store.Ancestors(ctx, s.cfg.Store.Q(), p.DiffIDs)
		if err != nil {
			return &databaseError{err}
		}
		proven, ok := s.closest(all, repositoryOf(*row))
		if ok {
			row.Parents = append(row.Parents, inherited(graph.FromLayers, proven.Image, proven.Digest, p))
		} else {
			unknown = append(unknown, orphan(p))
		}
		if name, is := s.claimed(p); is && name != proven.Image && s.known.repository[name] != repositoryOf(*row) {
			row.Parents = append(row.Parents, inherited(graph.FromAnnotation, name, p.BaseDigest, p))
		}
	}
	if n := row.Detail.Omitted; n > 0 {
		unknown = append(unknown, fmt.Sprintf("%d more platforms were not looked at", n))
	}
	row.Unknown = strings.Join(unknown, "; ")
	return nil
}

// closest is the image of the catalog with most of the layers: of two with the same layers a base, which we can build, comes
// before an upstream. What is in the repository of an image itself is another version of it, not its parent.
func (s *slice) closest(all []store.Ancestor, repo string) (best store.Ancestor, ok bool) {
	for _, a := range all {
		of, known := s.known.repository[a.Image]
		if !known || of == repo {
			continue
		}
		if ok && a.Layers < best.Layers {
			break
		}
		if !ok || s.known.bases[a.Image] && !s.known.bases[best.Image] {
			best, ok = a, true
		}
	}
	return best, ok
}

// orphan says in words that nobody's layers are a platform's first ones, and what it claims itself.
func orphan(p store.ObservedPlatform) string {
	s := fmt.Sprintf("parent of %s unknown: its layers begin with those of no image of the catalog that was read", p.Platform)
	if p.BaseName != "" || p.BaseDigest != "" {
		s += fmt.Sprintf("; its annotation says %q", strings.Trim(p.BaseName+"@"+p.BaseDigest, "@"))
	}
	return s
}

func inherited(by graph.Evidence, name, digest string, p store.ObservedPlatform) store.ObservedParent {
	return store.ObservedParent{Name: name, Kind: string(graph.Inherits), Evidence: string(by), Digest: digest, Platform: p.Platform}
}

// claimed is the image of the catalog that a platform's annotation names.
func (s *slice) claimed(p store.ObservedPlatform) (name string, ok bool) {
	if p.BaseName == "" {
		return "", false
	}
	name, _, ok = s.known.find(p.BaseName)
	return name, ok
}

func repositoryOf(row store.Observed) string {
	repo, _, _ := parts(row.Repository)
	return repo
}
