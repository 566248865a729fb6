package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/graph"
	"rebuilder/internal/store"
)

// judge says what was read of images and repositories means for the catalog of now. It asks nobody but the store.
type judge struct {
	store *store.Store
	known known
}

// image finds whose layers an image's begin with, platform by platform, and says for which nobody's do. What an annotation
// claims beyond that is a parent, too: a claim.
func (j judge) image(ctx context.Context, row *store.Observed) error {
	var unknown []string
	row.Parents = nil
	for _, p := range row.Detail.Platforms {
		if len(p.DiffIDs) == 0 {
			continue // it stands on nothing
		}
		all, err := store.Ancestors(ctx, j.store.Q(), p.DiffIDs)
		if err != nil {
			return &databaseError{err}
		}
		proven, ok := j.closest(all, repositoryOf(*row))
		if ok {
			row.Parents = append(row.Parents, inherited(graph.FromLayers, proven.Image, proven.Digest, p))
		} else {
			unknown = append(unknown, orphan(p))
		}
		if name, is := j.claimed(p); is && name != proven.Image && j.known.repository[name] != repositoryOf(*row) {
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
func (j judge) closest(all []store.Ancestor, repo string) (best store.Ancestor, ok bool) {
	for _, a := range all {
		of, known := j.known.repository[a.Image]
		if !known || of == repo {
			continue
		}
		if ok && a.Layers < best.Layers {
			break
		}
		if !ok || j.known.bases[a.Image] && !j.known.bases[best.Image] {
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
func (j judge) claimed(p store.ObservedPlatform) (name string, ok bool) {
	if p.BaseName == "" {
		return "", false
	}
	name, _, ok = j.known.find(p.BaseName)
	return name, ok
}

func repositoryOf(row store.Observed) string {
	repo, _, _ := parts(row.Repository)
	return repo
}

// repository says what the Dockerfiles that were read mean for the catalog of now, and what is not known.
func (j judge) repository(row *store.Observed) {
	var unknown []string
	row.Parents = nil
	for _, file := range row.Detail.Files {
		if file.Problem != "" {
			unknown = append(unknown, file.Problem)
		}
		for _, ref := range file.References {
			if ref.Name == "" {
				unknown = append(unknown, fmt.Sprintf("%s:%d names an image by a variable that has no value there", file.Path, ref.Line))
				continue
			}
			name, exact, ok := j.known.find(ref.Name)
			if !ok {
				continue
			}
			if !exact {
				unknown = append(unknown, fmt.Sprintf("%s:%d names %s by %q, which is not the tag that it moves", file.Path, ref.Line, name, ref.Name))
			}
			row.Parents = append(row.Parents, store.ObservedParent{Name: name, Kind: ref.Kind, Evidence: "recipe", Reference: ref.Name, File: file.Path, Line: ref.Line})
		}
	}
	if row.Detail.Unread != "" {
		unknown = append(unknown, row.Detail.Unread)
	}
	if row.State == "disabled" {
		unknown = append(unknown, "the forge has disabled the repository, so that it cannot be read")
	}
	row.Unknown = strings.Join(unknown, "; ")
}

// failedLook begins Unknown of what could not be looked at; what it was judged before stays.
const failedLook = "the last look at it failed: "

const rejudged = 200 // rows that are read together

// again judges everything that was found anew, after the catalog or the inventories changed, writes what is different now
// and returns how many rows are.
func (j judge) again(ctx context.Context) (changed int, err error) {
	for after := ""; ; {
		rows, err := store.ObservedAfter(ctx, j.store.Q(), after, rejudged)
		if err != nil || len(rows) == 0 {
			return changed, err
		}
		for _, row := range rows {
			different, err := j.anew(ctx, row)
			if err != nil {
				return changed, err
			}
			if different {
				changed++
			}
		}
		after = rows[len(rows)-1].Key
	}
}

func (j judge) anew(ctx context.Context, row store.Observed) (different bool, err error) {
	was := row
	switch {
	case row.GoneAt > 0, strings.HasPrefix(row.Unknown, failedLook):
		return false, nil
	case row.Kind == store.ObservedRepository:
		j.repository(&row)
	case !described(row):
		return false, nil
	default:
		if err := j.image(ctx, &row); err != nil {
			return false, err
		}
	}
	if row.Unknown == was.Unknown && slices.Equal(row.Parents, was.Parents) {
		return false, nil // nearly all are: no write is asked for
	}
	return store.JudgeObserved(ctx, j.store.Q(), row)
}
