package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Difference is what is another from one image to the next.
type Difference struct {
	Now    time.Time `json:"now"`
	Before Side      `json:"before"`
	After  Side      `json:"after"`
	// Same says that the two do the same thing: their content and configuration are equal.
	Same      bool             `json:"same"`
	Counts    Compared         `json:"counts"`
	Fixed     []policy.Finding `json:"fixed"` // as they were before
	New       []policy.Finding `json:"new"`
	Remaining []policy.Finding `json:"remaining,omitempty"` // as they are now
	// Failing are those of New that the policies of After let fail.
	Failing  []policy.Judged     `json:"failing"`
	Packages []inventory.Change  `json:"packages"`
	Settings []inventory.Setting `json:"settings"`
}

// Side is one of two images that are compared.
type Side struct {
	Image     string                `json:"image"`
	Reference string                `json:"reference,omitempty"`
	Digest    string                `json:"digest"`
	Platform  string                `json:"platform"`
	Outcome   policy.VerdictOutcome `json:"outcome"` // by today's advisories and policies
	Fails     int                   `json:"fails"`   // of Findings
	Findings  int                   `json:"findings"`
	Unknown   []string              `json:"unknown,omitempty"` // what could not be told
	// Since is when it came: its promotion or, where there is none, when it was first read; left out: not known.
	Since time.Time `json:"since,omitzero"`
}

// Compared counts findings.
type Compared struct {
	Fixed     int `json:"fixed"`
	New       int `json:"new"`
	Remaining int `json:"remaining"`
}

// differ compares two judged images.
func differ(before, after *judge.Sheet, now time.Time) Difference {
	d := judge.Differ(before, after)
	out := Difference{Now: now, Before: sideOf(before), After: sideOf(after), Same: d.Same, Fixed: d.Findings.Fixed, New: d.Findings.New, Remaining: d.Findings.Remaining,
		Counts: Compared{len(d.Findings.Fixed), len(d.Findings.New), len(d.Findings.Remaining)}, Failing: []policy.Judged{}, Packages: d.Packages, Settings: d.Settings}
	if out.Packages == nil {
		out.Packages = []inventory.Change{}
	}
	isNew := make(map[string]bool, len(d.Findings.New))
	for _, f := range d.Findings.New {
		isNew[thing(f)] = true
	}
	for _, f := range after.Verdict.Findings {
		if f.Outcome == policy.Fails && isNew[thing(f.Finding)] {
			out.Failing = append(out.Failing, f)
		}
	}
	return out
}

// thing tells findings of one image apart.
func thing(f policy.Finding) string {
	return fmt.Sprintf("%s %q %s %q %q %q %d %d", f.Kind, f.ID, f.Type, f.Package, f.Version, f.Path, f.Line, f.Layer)
}

func sideOf(s *judge.Sheet) Side {
	return Side{Image: s.Subject.Image, Reference: s.Reference, Digest: s.Subject.Digest, Platform: s.Subject.Platform, Outcome: s.Verdict.Outcome,
		Fails: s.Verdict.Outcomes[policy.Fails], Findings: len(s.Verdict.Findings), Unknown: s.Verdict.Unknown}
}

// compare fills in what is another than in the digest before.
func (r *Reader) compare(ctx context.Context, s *Sheet, j *judge.Sheet) error {
	d, err := r.sinceBefore(ctx, j, s.Now)
	if absent(err) {
		s.NotCompared = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	d.Remaining = nil
	s.Compared = &d
	return nil
}

// sinceBefore compares an image with the digest before it.
func (r *Reader) sinceBefore(ctx context.Context, after *judge.Sheet, now time.Time) (Difference, error) {
	digest, since, err := r.before(ctx, after)
	if err != nil {
		return Difference{}, err
	}
	if digest == "" {
		return Difference{}, notFound("name what to compare it with: rebuilder diff BEFORE "+after.Subject.Image, "no digest of %s before this one is known", after.Subject.Image)
	}
	before, err := r.Judge.Digest(ctx, digest)
	if err != nil {
		return Difference{}, judgeError(err, "name what to compare it with: rebuilder diff BEFORE "+after.Subject.Image)
	}
	d := differ(before, after, now)
	d.After.Since = since
	return d, nil
}

// before is the digest that an image had before this one, and since when it has this one: of what we promote as it was
// promoted, of all others as it was read.
func (r *Reader) before(ctx context.Context, s *judge.Sheet) (digest string, since time.Time, err error) {
	const most = 200 // promotions back
	moves, err := store.Promotions(ctx, r.Store.Q(), s.Subject.Image, most)
	if err != nil {
		return "", time.Time{}, err
	}
	for _, m := range moves {
		if m.To == s.Subject.Digest && m.From != m.To {
			return m.From, at(m.At), nil
		}
	}
	if len(moves) > 0 { // candidates are read, too: they never were what it is
		return "", time.Time{}, nil
	}
	read, err := store.ReadOf(ctx, r.Store.Q(), []string{s.Subject.Digest})
	if err != nil {
		return "", time.Time{}, err
	}
	this := read[s.Subject.Digest]
	earlier, err := store.ReadBefore(ctx, r.Store.Q(), s.Subject.Image, s.Subject.Platform, this.ReadAt, 1)
	if err != nil || len(earlier) == 0 {
		return "", time.Time{}, err
	}
	return earlier[0].Digest, at(this.ReadAt), nil
}

// DiffRequest names two images to compare, each as ScanRequest does. Without After, Before is what is compared with the
// digest before it.
type DiffRequest struct {
	Before   string `json:"before"`
	After    string `json:"after,omitempty"`
	Platform string `json:"platform,omitempty"`
}

// asked finds a judged image by what it is called.
type asked func(what string) (*judge.Sheet, error)

// diff compares two images, or one with the digest before it.
func (r *Reader) diff(ctx context.Context, q DiffRequest, ask asked) (Difference, error) {
	now := r.Now().UTC()
	if q.Before == "" {
		return Difference{}, badRequest("name one: rebuilder diff base/debian", "no image is named")
	}
	first, err := ask(q.Before)
	if err != nil {
		return Difference{}, err
	}
	if q.After == "" {
		return r.sinceBefore(ctx, first, now)
	}
	second, err := ask(q.After)
	if err != nil {
		return Difference{}, err
	}
	return differ(first, second, now), nil
}

// Diff compares two images that are known by name or digest, or one with the digest before it when after is empty.
func (r *Reader) Diff(ctx context.Context, before, after string) (Difference, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Difference{}, err
	}
	return r.diff(ctx, DiffRequest{Before: before, After: after}, func(what string) (*judge.Sheet, error) { return r.judged(ctx, v, what) })
}

func (s *Server) getDiff(r *http.Request) (any, error) {
	q := r.URL.Query()
	return s.Diff(r.Context(), q.Get("a"), q.Get("b"))
}

// postDiff compares whatever is named, also what the catalog does not know.
func (s *Server) postDiff(r *http.Request) (any, error) {
	var q DiffRequest
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return nil, err
	}
	return s.diff(r.Context(), q, func(what string) (*judge.Sheet, error) {
		return s.anything(r.Context(), v, ScanRequest{Reference: what, Platform: q.Platform})
	})
}

// Diff compares two images that are known by name or digest; without after, before with the digest before it.
func (c *Client) Diff(ctx context.Context, before, after string) (d Difference, err error) {
	q := url.Values{"a": {before}}
	if after != "" {
		q.Set("b", after)
	}
	return d, c.call(ctx, sheetPatience, http.MethodGet, nil, &d, q, "diff")
}

// DiffAny compares whatever is named. The daemon may pull images for it: it needs the token.
func (c *Client) DiffAny(ctx context.Context, q DiffRequest) (d Difference, err error) {
	return d, c.call(ctx, planPatience, http.MethodPost, q, &d, nil, "diff")
}
