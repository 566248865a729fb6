package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
)

// Judge says what is in an image and what the policies make of it. *judge.Judge is one.
type Judge interface {
	Image(ctx context.Context, name string) (*judge.Sheet, error)
	Digest(ctx context.Context, digest string) (*judge.Sheet, error)
	Reference(ctx context.Context, r judge.Resolver, ref, platform string) (*judge.Sheet, error)
}

// Sheet is the one fact sheet of an image: everybody who asks sees the same.
type Sheet struct {
	Now       time.Time `json:"now"`
	AsOf      time.Time `json:"as_of,omitzero"` // of the look that Image and Chain rest on
	Name      string    `json:"name"`           // in the graph, or a reference
	Kind      string    `json:"kind,omitempty"` // left out: of nobody that is known
	Owner     string    `json:"owner,omitempty"`
	Image     *Image    `json:"image,omitempty"` // how it is; left out: it is not in the graph
	Earlier   bool      `json:"earlier"`         // Image points to another digest by now
	Reference string    `json:"reference"`       // by digest, where it is known from where
	Digest    string    `json:"digest"`
	Content   Content   `json:"content"`
	Chain     []Link    `json:"chain"` // what it stands on, the nearest first; empty for an earlier digest

	Verdict    policy.Verdict `json:"verdict"`
	JudgedAt   time.Time      `json:"judged_at"`
	Since      time.Time      `json:"since,omitzero"` // since when the outcome is this one, as far as it is kept
	Sources    []judge.Source `json:"sources"`
	Exceptions []Excuse       `json:"exceptions"` // that excuse something now

	// Compared is against the digest before, without the findings that remain; NotCompared says why it is left out.
	Compared    *Difference `json:"compared,omitempty"`
	NotCompared string      `json:"not_compared,omitempty"`

	Tests     *store.Tests  `json:"tests,omitempty"` // of its promotion; left out: none were run
	Trials    []store.Trial `json:"trials,omitempty"`
	Build     *Build        `json:"build,omitempty"` // left out: it was not built by this daemon
	Proposals []Proposal    `json:"proposals"`       // open ones: of an application its own, of a base those that are to bring it in
}

// Content is what is in an image and how it is started.
type Content struct {
	Platform string    `json:"platform"`
	Created  time.Time `json:"created,omitzero"` // as the image says
	Size     int64     `json:"size"`             // compressed bytes of all layers
	Layers   int       `json:"layers"`
	OS       string    `json:"os,omitempty"` // "debian 12 (bookworm)"
	// Config has the names of the environment's variables and none of their values.
	Config      inventory.Config `json:"config"`
	Packages    int              `json:"packages"`
	Types       map[string]int   `json:"types"` // of Packages, by their type in package URLs
	Unknown     []string         `json:"unknown,omitempty"`
	Fingerprint string           `json:"fingerprint"`
}

// Excuse is an exception and how many findings of an image it excuses.
type Excuse struct {
	policy.Exception
	Findings int `json:"findings"`
}

// sheetPatience is how long a judgement may take: another scanner may be asked for it.
const sheetPatience = 2 * time.Minute

// Sheet returns the fact sheet of an image: by its name in the graph, or by "sha256:" and at least six digits of a digest
// that was read, with or without a name and "@" before. It pulls nothing.
func (r *Reader) Sheet(ctx context.Context, image string) (Sheet, error) {
	v, err := r.view(ctx)
	if err != nil {
		return Sheet{}, err
	}
	s, err := r.judged(ctx, v, image)
	if err != nil {
		return Sheet{}, err
	}
	return r.sheet(ctx, v, s)
}

var aDigest = regexp.MustCompile(`^sha256:[0-9a-f]{6,64}$`)

// judged asks the judge for an image of the last look, or for a digest that was read.
func (r *Reader) judged(ctx context.Context, v *view, image string) (*judge.Sheet, error) {
	if r.Judge == nil {
		return nil, &Error{http.StatusServiceUnavailable, CodeNotReady, "this daemon judges no images", "ask one that was started with: rebuilder serve"}
	}
	if image == "" {
		return nil, badRequest("see all images: rebuilder images", "no image is named")
	}
	if digest := image[strings.LastIndexByte(image, '@')+1:]; strings.HasPrefix(digest, "sha256:") {
		if !aDigest.MatchString(digest) {
			return nil, badRequest("sha256: and at least six digits", "%q is no digest", digest)
		}
		s, err := r.Judge.Digest(ctx, digest)
		if err != nil {
			return nil, judgeError(err, "one that nobody has looked into is read by its whole reference: rebuilder scan REPOSITORY@sha256:...")
		}
		s.Reference = v.reference(s.Subject.Image) + "@" + s.Subject.Digest
		return s, nil
	}
	if _, mistake := v.find(image); mistake != nil {
		return nil, mistake
	}
	s, err := r.Judge.Image(ctx, image)
	return s, judgeError(err, "see what is known of it: rebuilder why "+image)
}

// sheet adds what is known around a judged digest.
func (r *Reader) sheet(ctx context.Context, v *view, j *judge.Sheet) (Sheet, error) {
	s := Sheet{Now: v.now, AsOf: v.asOf(), Name: j.Subject.Image, Kind: j.Subject.Kind, Owner: j.Subject.Labels["owner"], Digest: j.Subject.Digest, Reference: j.Reference,
		Content: contentOf(j.Inventory), Chain: []Link{}, Verdict: j.Verdict, JudgedAt: utc(j.At), Sources: j.Sources, Exceptions: excuses(j.Verdict), Proposals: v.proposalsOf(j.Subject)}
	if i, mistake := v.find(s.Name); mistake == nil {
		s.Image, s.Kind, s.Earlier = &i, i.Kind, i.Digest != s.Digest
		s.Owner = cmp.Or(s.Owner, i.Owner)
		if !s.Earlier {
			s.Chain = v.chain(s.Name)
		}
	}
	k, found, err := store.GetJudgement(ctx, r.Store.Q(), s.Digest)
	if err != nil {
		return s, err
	}
	if found && k.Outcome == string(s.Verdict.Outcome) {
		s.Since = at(k.Since)
	}
	if err := r.made(ctx, &s); err != nil {
		return s, err
	}
	return s, r.compare(ctx, &s, j)
}

// made fills in how the digest came to be.
func (r *Reader) made(ctx context.Context, s *Sheet) error {
	const most = 50 // rollouts back
	nodes, err := store.LastNodes(ctx, r.Store.Q(), s.Name, most)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(nodes, func(n store.Node) bool {
		return n.After == s.Digest && (n.Detail.Tests != nil || len(n.Detail.Trials) > 0)
	}); i >= 0 {
		s.Tests, s.Trials = nodes[i].Detail.Tests, nodes[i].Detail.Trials
	}
	b, found, err := store.BuildOf(ctx, r.Store.Q(), s.Name, s.Digest)
	if err != nil || !found {
		return err
	}
	out := buildOf(b)
	out.Doubt = b.Detail.Doubt
	s.Build = &out
	return nil
}

func contentOf(inv *inventory.Inventory) Content {
	c := Content{Platform: inv.Platform, Created: utc(inv.Config.Created), Size: inv.Size, Layers: len(inv.DiffIDs), OS: osOf(inv.OS), Config: inv.Config, Packages: len(inv.Packages),
		Types: map[string]int{}, Unknown: inv.Unknown, Fingerprint: inv.Fingerprint}
	for _, p := range inv.Packages {
		c.Types[p.Type]++
	}
	return c
}

func osOf(o inventory.OS) string {
	s := strings.TrimSpace(o.ID + " " + o.Version)
	if o.Codename != "" {
		s += " (" + o.Codename + ")"
	}
	return s
}

// excuses are the exceptions that excuse findings, the first to end first.
func excuses(v policy.Verdict) []Excuse {
	of := map[string]Excuse{}
	for _, f := range v.Findings {
		if f.Exception != nil {
			e := of[f.Exception.ID]
			of[f.Exception.ID] = Excuse{*f.Exception, e.Findings + 1}
		}
	}
	out := make([]Excuse, 0, len(of))
	return append(out, slices.SortedFunc(maps.Values(of), func(a, b Excuse) int { return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.ID, b.ID)) })...)
}

// proposalsOf are the live proposals that an image is told by, or that are to bring it in.
func (v *view) proposalsOf(s policy.Subject) []Proposal {
	out := []Proposal{}
	application := ""
	if now, _ := v.fact(s.Image); now.Digest.String() == s.Digest {
		application = v.snap.World.Facts.Applications[s.Image].Application
	}
	for _, key := range slices.Sorted(maps.Keys(v.proposals)) {
		p := v.proposals[key]
		if p.Wants[s.Image] == s.Digest || application != "" && p.Application == application {
			out = append(out, proposalOf(p))
		}
	}
	return out
}

// reference is where an image is, without tag and digest.
func (v *view) reference(image string) string {
	if i, mistake := v.find(image); mistake == nil {
		image = i.Reference
	}
	return repository(image)
}

// repository is a reference without tag and digest.
func repository(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		return reference[:i]
	}
	return reference
}

func (s *Server) getSheet(r *http.Request) (any, error) {
	return s.Sheet(r.Context(), r.URL.Query().Get("image"))
}

// Sheet returns the fact sheet of an image by its name, or of a digest that was read. The daemon pulls nothing for it.
func (c *Client) Sheet(ctx context.Context, image string) (s Sheet, err error) {
	return s, c.call(ctx, sheetPatience, http.MethodGet, nil, &s, url.Values{"image": {image}}, "sheet")
}
