package judge

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"rebuilder/internal/catalog"
	"rebuilder/internal/observe"
	"rebuilder/internal/policy"
)

// ground is what verdicts rest on besides digests, as it is at one moment. It is read before anything is judged by it: what
// changes meanwhile is then another ground, and is judged anew.
type ground struct {
	catalog    *catalog.Catalog
	Policies   []policy.Policy
	Exceptions []policy.Exception
	Statements []policy.Statement
	Problems   []string // of the statements
	Scanners   []string
	Advisories string
	Images     []policy.Subject // as the catalog has them: policies go by their labels
}

func (j *Judge) ground(ctx context.Context) (g *ground, err error) {
	c := j.Catalog()
	g = &ground{catalog: c, Policies: policiesOf(c), Images: scopes(c)}
	if g.Exceptions, err = j.exceptions(ctx, c); err != nil {
		return nil, err
	}
	for _, s := range j.Scanners {
		g.Scanners = append(g.Scanners, s.Name())
	}
	if j.Statements != nil {
		g.Statements, g.Problems = j.Statements.Statements(ctx)
	}
	if j.Advisories != nil {
		g.Advisories, err = j.Advisories.State(ctx)
	}
	return g, err
}

// scopes are the images of the catalog, with the labels that policies go by.
func scopes(c *catalog.Catalog) (all []policy.Subject) {
	for name, y := range sayings(c) {
		all = append(all, y.of(policy.Subject{Image: name}))
	}
	return all
}

// hash is another one when anything of the ground is.
func (g *ground) hash() (string, error) {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode(g); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:16]), nil
}

// basis is all that the verdict on one image rests on besides its digest: a hash of the ground, and what is known around the
// image. What was judged on another basis is to be judged again.
func basis(ground string, w *observe.World, s policy.Subject) string {
	if w == nil {
		return ground
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+q %+v", baseOf(w, s), references(w, s)))
	return fmt.Sprintf("%s-%x", ground, sum[:8])
}
