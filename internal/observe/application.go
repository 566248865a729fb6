package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/plan"
)

// applications reads the Dockerfiles, and what says what runs, of every application at the tip of its branch.
func (l *looking) applications(ctx context.Context) error {
	commits := map[string]map[string]bool{} // by repository
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, a := range l.c.Applications {
		g.Go(func() error {
			commit, err := l.head(ctx, a)
			for _, i := range a.Images {
				f, _ := l.describe(ctx, l.names, a, i, commit, err)
				l.set(func() { l.facts.Applications[i.Name] = f })
			}
			l.set(func() {
				if commits[a.Repository] == nil {
					commits[a.Repository] = map[string]bool{}
				}
				commits[a.Repository][commit] = true
			})
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	l.files.only(commits)
	return nil
}

var errNoForge = errors.New("the catalog has no [forge], so that its repository cannot be read")

func (o *Observer) head(ctx context.Context, a catalog.Application) (string, error) {
	if o.Forge == nil {
		return "", errNoForge
	}
	commit, err := o.Forge.Head(ctx, a.Repository, a.Branch)
	if errors.Is(err, notify.ErrNotFound) {
		return "", fmt.Errorf("the forge has no %s with a branch %s (or the token may not see it)", a.Repository, a.Branch)
	}
	return commit, err
}

// describe reads one Dockerfile. Everything that goes wrong is a fact; the error is what went wrong last.
func (o *Observer) describe(ctx context.Context, known names, a catalog.Application, i catalog.ApplicationImage, commit string, problem error) (plan.Application, error) {
	f := plan.Application{Application: a.Name, Strategy: string(a.Strategy), Repository: a.Repository, Branch: a.Branch, Commit: commit}
	if problem != nil {
		f.Problem = problem.Error()
		return f, problem
	}
	refs, err := o.needs(ctx, a, i, commit)
	if err != nil {
		f.Problem = err.Error()
		return f, err
	}
	for _, r := range refs {
		image, stray, ok := known.find(r)
		if r.name == "" {
			stray = known.notKnown(r)
		}
		if stray != "" {
			f.Strays = append(f.Strays, stray)
		}
		if !ok {
			continue
		}
		if image.base && neverTold(a, image.name) {
			f.Strays = append(f.Strays, image.name+", of which it is never told (proposals.never in the catalog)")
			continue
		}
		pinned, _ := v1.NewHash(r.digest) // a malformed digest pins nothing that exists
		to := &f.Upstreams
		if image.base {
			to = &f.References
		}
		*to = append(*to, plan.Reference{Base: image.name, Reference: r.name, Pinned: pinned, Kind: r.kind, File: r.file, Line: r.line, Rewritable: r.rewritable, Why: r.why})
	}
	if err := o.coexist(ctx, a, commit, f.References); err != nil {
		f.Problem, problem = err.Error(), err
	}
	if i.Name == a.Images[0].Name {
		if f.Pins, err = o.pins(ctx, known, a, commit); err != nil {
			f.Problem, problem = err.Error(), err
		}
		f.Pins = slices.DeleteFunc(f.Pins, func(r plan.Reference) bool { return neverTold(a, r.Base) })
	}
	return f, problem
}

// neverTold says that the catalog keeps a base from an application.
func neverTold(a catalog.Application, base string) bool {
	return slices.Contains(a.Proposals.Never, base)
}

// Application looks at one image of an application now; rollouts use it. Where the forge cannot be reached, or refuses for now,
// that is an error and no fact: it is asked again.
func (o *Observer) Application(ctx context.Context, c *catalog.Catalog, a catalog.Application, i catalog.ApplicationImage) (plan.Application, error) {
	commit, err := o.head(ctx, a)
	f, err := o.describe(ctx, namesOf(c), a, i, commit, err)
	if err != nil && unreached(err) {
		return f, err
	}
	return f, ctx.Err()
}

// unreached says that an error tells of the way to a forge, and not of what is there.
func unreached(err error) bool {
	var limited *notify.RateLimited
	var network net.Error
	return errors.As(err, &limited) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
