package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"rebuilder/internal/export"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/patch"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

const (
	maxVEX      = 16 << 20 // bytes of a document that is imported, with what is around it
	maxMatches  = 500      // vulnerabilities of a document of which it is said what they hit
	maxProblems = 20       // lines on what is wrong in a document
)

// VEXExport is an OpenVEX document on images, and of which of them nothing is said because nothing is known.
type VEXExport struct {
	Now        time.Time       `json:"now"`
	AsOf       time.Time       `json:"as_of,omitzero"`
	Images     int             `json:"images"`     // that were asked for
	Statements int             `json:"statements"` // of Document
	NotKnown   []NotKnown      `json:"not_known"`  // of Images
	Document   json.RawMessage `json:"document"`   // null when there is nothing to say
}

// VEXDocument is an OpenVEX document that somebody imported.
type VEXDocument struct {
	ID         string    `json:"id"` // its own
	Version    int64     `json:"version"`
	Author     string    `json:"author"`
	Statements int       `json:"statements"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
}

// VEXDocuments are all that were imported, the last first.
type VEXDocuments struct {
	Now       time.Time     `json:"now"`
	Documents []VEXDocument `json:"documents"`
}

// VEXImport asks to import an OpenVEX document, or, with Check, only what that would do. By is what the caller says; the
// proof is the token.
type VEXImport struct {
	By       string          `json:"by"`
	Check    bool            `json:"check,omitempty"`
	Document json.RawMessage `json:"document"`
}

// VEXImported says what a document is about, and what became of it.
type VEXImported struct {
	Now time.Time `json:"now"`
	VEXDocument
	Imported bool `json:"imported"` // false: only checked
	Again    bool `json:"again"`    // it was there before: this changed nothing
	// Clears are the findings in images that are there of which it says that nothing is to be done; In is in how many images.
	Clears int `json:"clears"`
	In     int `json:"in"`
	// Vulnerabilities are those that it speaks of, the first 500, and what each hits of what it is said about.
	Vulnerabilities []VEXMatch `json:"vulnerabilities"`
	More            int        `json:"more,omitempty"` // vulnerabilities that are left out
	// Unanswered says why it is not known what it hits; empty: it is.
	Unanswered string   `json:"unanswered,omitempty"`
	Problems   []string `json:"problems"` // statements that are left out, with what is wrong
}

// VEXMatch is a vulnerability of a document, and what it hits of what is there.
type VEXMatch struct {
	Vulnerability string   `json:"vulnerability"`
	Statuses      []string `json:"statuses"`
	Findings      int      `json:"findings"` // that a statement of the document is about
	Images        int      `json:"images"`
}

// VEXRemoval asks to remove an imported document.
type VEXRemoval struct {
	ID string `json:"id"`
	Decision
}

func vexDocumentOf(d store.VEXDocument) VEXDocument {
	return VEXDocument{ID: d.ID, Version: d.Version, Author: d.Author, Statements: d.Statements, By: d.By, At: at(d.At)}
}

// VEXDocuments lists the documents that were imported.
func (r *Reader) VEXDocuments(ctx context.Context) (VEXDocuments, error) {
	out := VEXDocuments{Now: r.Now().UTC(), Documents: []VEXDocument{}}
	all, err := store.ListVEX(ctx, r.Store.Q())
	for _, d := range all {
		out.Documents = append(out.Documents, vexDocumentOf(d))
	}
	return out, err
}

func (s *Server) exportVEX(r *http.Request) (any, error) {
	return s.ExportVEX(r.Context(), r.URL.Query()["image"])
}

// ExportVEX says, of some images or of all bases, which vulnerabilities are accepted, which do not affect them, and which are
// fixed since the digest before, from the last verdicts.
func (r *Reader) ExportVEX(ctx context.Context, names []string) (VEXExport, error) {
	v, err := r.view(ctx)
	if err != nil {
		return VEXExport{}, err
	}
	out := VEXExport{Now: v.now, AsOf: v.asOf(), NotKnown: []NotKnown{}}
	var images []Image
	for _, name := range names {
		img, mistake := v.find(name)
		if mistake != nil {
			return out, mistake
		}
		images = append(images, img)
	}
	if len(names) == 0 {
		images = slices.DeleteFunc(v.images(), func(i Image) bool { return i.Kind != string(graph.Base) })
	}
	out.Images = len(images)
	var reports []export.Report
	for _, img := range images {
		rep, why, err := r.opinions(ctx, img)
		switch {
		case err != nil:
			return out, err
		case why != "":
			out.NotKnown = append(out.NotKnown, NotKnown{Image: img.Name, Kind: img.Kind, Reason: why})
		case len(rep.Verdict.Findings) > 0:
			reports = append(reports, rep)
		}
	}
	if len(reports) == 0 {
		return out, nil
	}
	out.Document, err = export.WriteOpenVEX(reports...)
	if err != nil {
		return out, err
	}
	doc, err := export.ReadOpenVEX("export", bytes.NewReader(out.Document), nil)
	out.Statements = len(doc.Statements)
	return out, err
}

// opinions are what is thought of the vulnerabilities of an image, beyond that they are there; why says why that is not known.
func (r *Reader) opinions(ctx context.Context, img Image) (rep export.Report, why string, err error) {
	if img.Digest == "" {
		return rep, "no image of it is known", nil
	}
	is, found, err := r.sheetOf(ctx, img.Digest)
	if err != nil || !found {
		return rep, Short(img.Digest) + " has not been judged yet", err
	}
	rep = export.Report{Subject: is.Subject, Reference: is.Reference, At: is.At, Version: r.Version}
	for _, f := range is.Verdict.Findings {
		if f.Kind == policy.Vulnerability && !f.Outcome.Open() {
			rep.Verdict.Findings = append(rep.Verdict.Findings, f)
		}
	}
	j, found, err := store.JudgementBefore(ctx, r.Store.Q(), is.Subject.Image, img.Digest)
	if err != nil || !found {
		return rep, "", err
	}
	was := new(judge.Sheet)
	if err := json.Unmarshal([]byte(j.Body), was); err != nil {
		return rep, "", fmt.Errorf("stored verdict on %s: %w", j.Digest, err)
	}
	gone := policy.Compare(was.Findings(), is.Findings()).Fixed
	inv, found, err := store.GetInventory(ctx, r.Store.Q(), img.Digest)
	if err != nil || !found {
		return rep, "", err
	}
	for _, f := range gone {
		if s := fixedIn(inv, f); s != nil {
			f.PURL = anyVersion(f.PURL)
			rep.Verdict.Findings = append(rep.Verdict.Findings, policy.Judged{Finding: f, Outcome: policy.NotAffected, Statement: s})
		}
	}
	return rep, "", nil
}

// fixedIn is what can be said of a vulnerability that was found in the digest before and is not in this one. That an advisory
// is not known any more fixes nothing: the package must have the fix, or be gone.
func fixedIn(inv *inventory.Inventory, f policy.Finding) *policy.Statement {
	if f.Kind != policy.Vulnerability {
		return nil
	}
	there := false
	for _, p := range inv.Packages {
		if cmp.Or(p.Type, inventory.Deb) != f.Type || p.Name != f.Package {
			continue
		}
		there = true
		order, err := patch.Compare(f.Type, cmp.Or(p.SourceVersion, p.Version), f.FixedIn)
		if f.FixedIn == "" || p.Version == f.Version || err != nil || order < 0 {
			return nil
		}
	}
	if !there {
		return &policy.Statement{Status: policy.StatusNotAffected, Justification: "component_not_present"}
	}
	return &policy.Statement{Status: policy.StatusFixed}
}

// sheetOf is the last verdict on a digest.
func (r *Reader) sheetOf(ctx context.Context, digest string) (s *judge.Sheet, found bool, err error) {
	j, found, err := store.GetJudgement(ctx, r.Store.Q(), digest)
	if err != nil || !found {
		return nil, false, err
	}
	s = new(judge.Sheet)
	if err := json.Unmarshal([]byte(j.Body), s); err != nil {
		return nil, false, fmt.Errorf("stored verdict on %s: %w", digest, err)
	}
	return s, true, nil
}

// anyVersion is a package URL without its version: what was fixed is there in another one.
func anyVersion(purl string) string {
	p, err := packageurl.FromString(purl)
	if err != nil {
		return ""
	}
	p.Version = ""
	return p.ToString()
}

func (s *Server) importVEX(r *http.Request) (any, error) {
	var q VEXImport
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	by, err := decider(q.By)
	if err != nil {
		return nil, err
	}
	v, err := s.view(r.Context())
	if err != nil {
		return nil, err
	}
	if v.snap.Catalog == nil {
		return nil, &Error{http.StatusServiceUnavailable, CodeNotReady, "no catalog is loaded yet", "try again"}
	}
	doc, problem := export.ReadOpenVEX("the document", bytes.NewReader(q.Document), judge.ImagesAt(v.snap.Catalog))
	switch {
	case problem != nil && len(doc.Statements) == 0:
		return nil, badRequest("it takes an OpenVEX document whose products are images or packages: https://openvex.dev/ns", "%s", strings.Join(problemsOf(problem), "; "))
	case len(doc.Statements) == 0:
		return nil, badRequest("", "the document %.200s has no statement", doc.ID)
	}
	out := VEXImported{Now: v.now, VEXDocument: VEXDocument{ID: doc.ID, Version: int64(doc.Version), Author: doc.Author, Statements: len(doc.Statements), By: by, At: v.now}, Problems: problemsOf(problem)}
	if err := s.match(r.Context(), v, &out, doc.Statements); err != nil {
		return nil, err
	}
	if q.Check {
		return out, nil
	}
	var body bytes.Buffer
	if err := json.Compact(&body, q.Document); err != nil {
		return nil, err
	}
	stored, changed, err := store.ImportVEX(r.Context(), s.d.Store.Q(), store.VEXDocument{ID: doc.ID, Version: int64(doc.Version), Author: doc.Author, Statements: len(doc.Statements),
		By: by, At: v.now.UnixMilli(), Body: body.String()})
	if err != nil {
		return nil, refusal(err, http.StatusConflict, "see what is there: rebuilder vex list")
	}
	out.VEXDocument, out.Imported, out.Again = vexDocumentOf(stored), true, !changed
	if changed {
		s.rejudge()
	}
	return out, nil
}

// problemsOf are what is wrong with a document, a line each.
func problemsOf(err error) []string {
	if err == nil {
		return []string{}
	}
	lines := strings.Split(err.Error(), "\n")
	if more := len(lines) - maxProblems; more > 0 {
		lines = append(lines[:maxProblems], fmt.Sprintf("and %d more", more))
	}
	return lines
}

// match says what statements are about of what is there.
func (r *Reader) match(ctx context.Context, v *view, out *VEXImported, statements []policy.Statement) error {
	by := map[string][]policy.Statement{}
	order := []string{}
	for _, s := range statements {
		if by[s.Vulnerability] == nil {
			order = append(order, s.Vulnerability)
		}
		by[s.Vulnerability] = append(by[s.Vulnerability], s)
	}
	slices.Sort(order)
	out.More = max(0, len(order)-maxMatches)
	out.Vulnerabilities = []VEXMatch{}
	sources, err := r.sources(ctx, v)
	if err != nil {
		return err
	}
	out.Unanswered = unanswered(sources)
	images := v.images()
	in := map[string]bool{}
	for _, id := range order[:len(order)-out.More] {
		m := VEXMatch{Vulnerability: id, Statuses: []string{}}
		for _, s := range by[id] {
			if !slices.Contains(m.Statuses, string(s.Status)) {
				m.Statuses = append(m.Statuses, string(s.Status))
			}
		}
		s, err := r.hits(ctx, v, id)
		if err != nil {
			return err
		}
		for _, img := range images {
			n := s.stated(img, by[id], func(policy.Statement) { in[img.Name] = true; out.Clears++ })
			if m.Findings += n; n > 0 {
				m.Images++
			}
		}
		out.Vulnerabilities = append(out.Vulnerabilities, m)
	}
	out.In = len(in)
	return nil
}

// hits are the packages that an advisory hits, by digest; none when nothing is known of it.
func (r *Reader) hits(ctx context.Context, v *view, id string) (*search, error) {
	s := r.searchFor(v, &Affected{Name: id})
	if r.unadvised(v) != "" {
		return s, nil
	}
	facts, found, err := r.Advice.Book.Lookup(ctx, id)
	if err != nil || !found {
		return s, err
	}
	s.a.Advisory = factsOf(facts)
	return s, s.take(ctx, r)
}

// stated counts the hits in an image that statements are about; clears is called for each that they clear.
func (s *search) stated(img Image, statements []policy.Statement, clears func(policy.Statement)) (n int) {
	if img.Digest == "" {
		return 0
	}
	for _, h := range s.by[img.Digest] {
		f := s.finding(h)
		f.Aliases = append(slices.Clone(f.Aliases), statements[0].Vulnerability)
		v := policy.Judge(policy.Input{Subject: policy.Subject{Image: img.Name, Kind: img.Kind, Digest: img.Digest}, Findings: []policy.Finding{f}, VEX: statements, Now: s.now})
		j := v.Findings[0]
		if j.Statement == nil {
			continue
		}
		n++
		if j.Outcome == policy.NotAffected {
			clears(*j.Statement)
		}
	}
	return n
}

func (s *Server) removeVEX(r *http.Request) (any, error) {
	var q VEXRemoval
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	by, err := decider(q.By)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(q.Reason) == "" {
		return nil, badRequest("say why, for who reads it later: --reason", "to remove statements needs a reason")
	}
	d, err := store.RemoveVEX(r.Context(), s.d.Store.Q(), q.ID, by, q.Reason, s.d.Now().UnixMilli())
	switch {
	case errors.Is(err, store.ErrNoRows):
		return nil, notFound("list them: rebuilder vex list", "no document %.200q was imported", q.ID)
	case err != nil:
		return nil, refusal(err, http.StatusConflict, "")
	}
	s.rejudge()
	return vexDocumentOf(d), nil
}

// ExportVEX returns an OpenVEX document on some images, or on all bases; see Reader.ExportVEX.
func (c *Client) ExportVEX(ctx context.Context, images []string) (e VEXExport, err error) {
	return e, c.get(ctx, &e, url.Values{"image": images}, "vex")
}

// VEXDocuments lists the documents that were imported.
func (c *Client) VEXDocuments(ctx context.Context) (d VEXDocuments, err error) {
	return d, c.get(ctx, &d, nil, "vex", "documents")
}

// ImportVEX imports a document, or checks it. It is safe to repeat.
func (c *Client) ImportVEX(ctx context.Context, q VEXImport) (i VEXImported, err error) {
	return i, c.call(ctx, planPatience, http.MethodPost, q, &i, nil, "vex", "documents")
}

// RemoveVEX removes an imported document.
func (c *Client) RemoveVEX(ctx context.Context, q VEXRemoval) (d VEXDocument, err error) {
	return d, c.call(ctx, patience, http.MethodPost, q, &d, nil, "vex", "documents", "remove")
}

// Advisories lists the sources of advisories and what they do not cover.
func (c *Client) Advisories(ctx context.Context) (a Advisories, err error) {
	return a, c.get(ctx, &a, nil, "advisories")
}
