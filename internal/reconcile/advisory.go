package reconcile

import (
	"context"

	"rebuilder/internal/plan"
)

// Advisories says which images new advisories hit.
type Advisories interface {
	// New returns the advisories that came up since the images were judged last and that hit what the facts say is there. It
	// is called once a look; an advisory is returned until the image is judged again. What is not known is no row: whoever
	// judges shows it.
	New(ctx context.Context, f plan.Facts) ([]plan.Advisory, error)
}

// Judge sets who knows of new advisories; nil, which is the default: nobody does, and nothing is built for their sake. It
// must be called before Run.
func (l *Loop) Judge(a Advisories) { l.advisories = a }

// judge adds the new advisories to the bases that they hit.
func (l *Loop) judge(ctx context.Context, f plan.Facts) error {
	if l.advisories == nil {
		return nil
	}
	all, err := l.advisories.New(ctx, f)
	if err != nil {
		return err
	}
	for _, a := range all {
		if b, ok := f.Bases[a.Image]; ok {
			b.Advisories = append(b.Advisories, a)
			f.Bases[a.Image] = b
		}
	}
	return nil
}
