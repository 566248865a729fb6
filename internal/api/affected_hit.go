package api

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rebuilder/internal/judge"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// hit are the packages of an image that an advisory hits, with the way out of each and what becomes of it.
func (s *search) hit(img Image, holdings []store.Holding, weigh judge.Weigher) []Found {
	out := make([]Found, 0, len(holdings))
	findings := make([]policy.Finding, 0, len(holdings))
	for _, h := range holdings {
		f, hit := s.found(img, h), s.hits[h]
		f.FixedIn = hit.FixedIn
		f.Offered = f.Newer != nil && !f.Newer.Held && hit.Fixes(f.Newer.To)
		f.Fix = fixWords(f)
		out = append(out, f)
		findings = append(findings, s.finding(h))
	}
	if weigh == nil {
		return out
	}
	for i, j := range weigh(policy.Subject{Image: img.Name, Kind: img.Kind, Digest: img.Digest}, findings) {
		f := &out[i]
		f.Outcome, f.Reason, f.Until = string(j.Outcome), j.Reason, j.Until
		if j.Outcome == policy.Excepted && j.Exception != nil {
			f.Exception = j.Exception.ID
		}
	}
	return out
}

// finding is a hit as policies see it.
func (s *search) finding(h store.Holding) policy.Finding {
	hit, f := s.hits[h], s.a.Advisory
	out := policy.Finding{Kind: policy.Vulnerability, ID: f.ID, Aliases: f.Aliases, Title: f.Summary, Type: h.Type, Package: h.Name, Version: h.Version, PURL: hit.PURL, FixedIn: hit.FixedIn,
		Severity: policy.Severity(f.Severity), Score: f.Score, Vector: f.Vector, Exploited: f.Exploited, EPSS: f.EPSS, Layer: h.Layer}
	if h.Source != h.Name {
		out.Source = h.Source
	}
	if !f.PublishedAt.IsZero() {
		out.Published = f.PublishedAt.UnixMilli()
	}
	return out
}

// fixWords says how far the fix of a hit is.
func fixWords(f Found) string {
	fixed := "fixed in " + f.FixedIn
	switch n := f.Newer; {
	case f.FixedIn == "":
		return "no patch yet"
	case f.Offered && n.FixedBy == n.Repository:
		return fmt.Sprintf("%s; %s has %s", fixed, n.Repository, n.To)
	case f.Offered && n.To != f.FixedIn:
		return fmt.Sprintf("%s; %s is on offer, by a rebuild of %s", fixed, n.To, n.FixedBy)
	case f.Offered:
		return fmt.Sprintf("%s, which is on offer, by a rebuild of %s", fixed, n.FixedBy)
	case n != nil && n.Held:
		return fmt.Sprintf("%s; %s is published, and held back by the image's rules", fixed, n.To)
	case n != nil:
		return fmt.Sprintf("%s; what is on offer is %s", fixed, n.To)
	case f.NewerUnknown != "":
		return fmt.Sprintf("%s; whether that is on offer is unknown: %s", fixed, f.NewerUnknown)
	}
	return fixed + ", which is not on offer yet"
}

// advisoryWhy says whether an advisory hits an image, by which package, and what becomes of it.
func (r *Reader) advisoryWhy(ctx context.Context, v *view, img Image, chain []Link, id string) (PackageWhy, error) {
	w := PackageWhy{Name: id, Advisory: true}
	unknown := func(why string) (PackageWhy, error) {
		w.Unknown = why
		w.Sentence = fmt.Sprintf("whether %s hits %s is unknown: %s", w.Name, img.Name, why)
		return w, nil
	}
	a := Affected{Name: id}
	s, err := r.advice(ctx, v, &a)
	if err != nil {
		return w, err
	}
	w.Name, w.Facts = a.Name, a.Advisory
	if a.Unanswered != "" {
		return unknown(a.Unanswered)
	}
	holdings := s.by[img.Digest]
	if img.Digest == "" || len(holdings) == 0 {
		if why := s.unread(img); why != "" {
			return unknown(why)
		}
		w.Sentence, err = s.spared(ctx, r, img)
		return w, err
	}
	weigh, err := r.weigher(ctx, a.Advisory)
	if err != nil {
		return w, err
	}
	hits := s.hit(img, holdings, weigh)
	first := hits[0]
	about, err := r.packageWhy(ctx, v, img, chain, first.Package)
	if err != nil {
		return w, err
	}
	about.Name, about.Advisory, about.Package, about.Facts, about.Hits = w.Name, true, first.Package, w.Facts, hits
	about.Sentence = fmt.Sprintf("%s (%s) hits %s%s: %s %s in layer %d of %d%s; %s", w.Name, w.Facts.words(), img.Name, hitWords(hits), first.Package, first.Version, first.Layer, first.Layers,
		whence(first.Image, first.BroughtBy, first.Proven), first.Fix)
	return about, nil
}

// hitWords says how many packages are hit where that is not one, and when none of them counts.
func hitWords(hits []Found) string {
	out := ""
	if n := len(hits); n > 1 {
		out = " in " + Count(n, "package")
	}
	for _, o := range []struct{ outcome, words string }{{outcomeNotAffected, ", and statements say that it is not affected"}, {outcomeExcepted, ", and that is accepted"}} {
		if !slices.ContainsFunc(hits, func(f Found) bool { return f.Outcome != o.outcome }) {
			return out + o.words
		}
	}
	return out
}

const maxSpared = 20 // packages of an advisory that are looked for in an image

// spared says why an advisory does not hit an image: its packages are of other versions, or it has none of them.
func (s *search) spared(ctx context.Context, r *Reader, img Image) (string, error) {
	out := fmt.Sprintf("%s does not hit %s", s.a.Name, img.Name)
	if s.a.Advisory.Withdrawn {
		return out + ": it was withdrawn", nil
	}
	var has, about []string
	for _, p := range s.a.Advisory.Packages[:min(len(s.a.Advisory.Packages), maxSpared)] {
		about = append(about, fmt.Sprintf("%s of %s", p.Name, p.Ecosystem))
		all, err := store.Holdings(ctx, r.Store.Q(), p.Name)
		if err != nil {
			return "", err
		}
		for _, h := range all {
			if said := h.Name + " " + h.Version; h.Digest == img.Digest && !slices.Contains(has, said) {
				has = append(has, said)
			}
		}
	}
	switch {
	case len(has) > 0:
		slices.Sort(has)
		return fmt.Sprintf("%s: %s in it %s no affected version", out, strings.Join(has, ", "), verb(len(has), "is", "are")), nil
	case len(s.a.Advisory.Packages) > maxSpared:
		return out + ": it has no affected package", nil
	}
	return fmt.Sprintf("%s: it has nothing of what it is about, %s", out, strings.Join(about, ", ")), nil
}
