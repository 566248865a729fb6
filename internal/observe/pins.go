package observe

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/pin"
	"rebuilder/internal/plan"
)

// pins are the references to bases in the files of an application that say what runs.
func (o *Observer) pins(ctx context.Context, known names, a catalog.Application, commit string) ([]plan.Reference, error) {
	var out []plan.Reference
	for _, path := range a.Files {
		refs, err := o.runs(ctx, a, path, commit)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			image, _, ok := known.find(r)
			if !ok || !image.base {
				continue
			}
			pinned, _ := v1.NewHash(r.digest) // a malformed digest pins nothing that exists
			out = append(out, plan.Reference{Base: image.name, Reference: r.name, Pinned: pinned, Kind: plan.Runs, File: path, Line: r.line, Rewritable: r.rewritable, Why: r.why})
		}
	}
	return out, nil
}

// runs are the images that one such file names at a commit.
func (o *Observer) runs(ctx context.Context, a catalog.Application, path, commit string) ([]reference, error) {
	k := fileKey{a.Repository, commit, path, string(plan.Runs)}
	if refs, ok := o.files.get(k); ok {
		return refs, nil
	}
	src, err := o.Forge.ReadFile(ctx, a.Repository, commit, path)
	if errors.Is(err, notify.ErrNotFound) {
		err = fmt.Errorf("%s has no %s at %.12s", a.Repository, path, commit)
	}
	if err != nil {
		return nil, err
	}
	f, err := pin.Parse(path, src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Repository, err)
	}
	var refs []reference
	for _, r := range f.References {
		name, digest, _ := strings.Cut(r.Name, "@")
		refs = append(refs, reference{name: name, raw: r.Name, digest: digest, kind: plan.Runs, file: path, line: r.Line, rewritable: r.Rewritable, why: r.Why})
	}
	o.files.put(k, refs)
	return refs, nil
}
