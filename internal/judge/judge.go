// Package judge joins what is found in an image with what the organisation makes of it. Advisories, rules of hygiene,
// secrets and other scanners find; policies, exceptions and statements decide (internal/policy); everybody who asks gets
// the same sheet.
//
//	inventory ──> advisories, hygiene, secrets, other scanners ──> findings, merged
//	findings, policies, exceptions, statements, now ────────────> verdict, kept by digest
//
// No image is pulled to judge it again: the inventory of a digest is read once.
package judge

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/hygiene"
	"rebuilder/internal/inventory"
	"rebuilder/internal/observe"
	"rebuilder/internal/policy"
	"rebuilder/internal/sbom"
	"rebuilder/internal/scan"
	"rebuilder/internal/store"
)

// Advisories says which advisories hit what is in an image.
type Advisories interface {
	// Known returns what is known of the packages of an inventory. It asks the store only.
	Known(ctx context.Context, inv *inventory.Inventory) (Known, error)
	// State changes when a source of advisories has changed: what was judged before is to be judged again.
	State(ctx context.Context) (string, error)
}

// Known is what advisories say of an inventory.
type Known struct {
	Findings []policy.Finding
	// Unknown is what could not be told, a sentence each: "no source has advisories for Alpine 3.22, of which it has 15 packages".
	Unknown []string
	AsOf    time.Time // the oldest of the sources that were asked; zero: none was
}

// Statements are what others say of vulnerabilities, and what could not be read of that, a sentence each.
type Statements interface {
	Statements(ctx context.Context) (all []policy.Statement, problems []string)
}

// World is what is known around the images: a look of the reconcile's. It is nil before the first.
type World func() *observe.World

// Judge judges images. It is safe for concurrent use.
type Judge struct {
	Store *store.Store
	// Inventory reads what is inside a reference by digest, once.
	Inventory  func(ctx context.Context, image, reference, platform string) (*inventory.Inventory, error)
	Advisories Advisories // nil: no source is configured
	Statements Statements // nil: there are none
	Scanners   []scan.Scanner
	World      World
	Catalog    func() *catalog.Catalog
	Version    string
	Now        func() time.Time
	Log        *slog.Logger
	// Due is called when candidates that did not pass may be asked again; nil: nobody waits for that.
	Due func()

	swept string // what verdicts rested on at the last sweep; of the one goroutine that sweeps
}

// NoAdvisories is why nothing is known of vulnerabilities where no source of advisories is configured.
const NoAdvisories = "no source of advisories is configured"

// Sheet is all that is known of one digest. Everybody who asks sees the same.
type Sheet struct {
	Subject   policy.Subject       `json:"subject"`
	Reference string               `json:"reference,omitempty"` // where it is, by digest
	Inventory *inventory.Inventory `json:"-"`
	Verdict   policy.Verdict       `json:"verdict"`
	Sources   []Source             `json:"sources"`
	At        time.Time            `json:"at"`

	next time.Time // when another look may see something else; zero: it would not
}

// Source is one that looked for something in the image, or could not.
type Source struct {
	Name    string    `json:"name"` // "advisories", "secrets", "hygiene", or another scanner's
	AsOf    time.Time `json:"as_of,omitzero"`
	Found   int       `json:"found"`
	Unknown []string  `json:"unknown,omitempty"` // what it could not tell
	// Again is when one that could say nothing is asked again; zero: it has said something.
	Again time.Time `json:"again,omitzero"`
}

// Findings are what was found, without what became of it.
func (s *Sheet) Findings() []policy.Finding {
	out := make([]policy.Finding, len(s.Verdict.Findings))
	for i, f := range s.Verdict.Findings {
		out[i] = f.Finding
	}
	return out
}

// Sheet judges a digest whose inventory is read. A subject that the catalog names gets its kind and labels from there.
func (j *Judge) Sheet(ctx context.Context, s policy.Subject, reference string, inv *inventory.Inventory) (*Sheet, error) {
	g, err := j.ground(ctx)
	if err != nil {
		return nil, err
	}
	return j.sheet(ctx, g, s, reference, inv, nil)
}

func (j *Judge) sheet(ctx context.Context, g *ground, s policy.Subject, reference string, inv, before *inventory.Inventory) (*Sheet, error) {
	now := j.Now().UTC()
	s = j.subject(g.catalog, s, inv)
	out := &Sheet{Subject: s, Reference: reference, Inventory: inv, At: now}
	findings, err := j.find(ctx, g.catalog, out, policy.For(g.Policies, s), before)
	if err != nil {
		return nil, err
	}
	in := policy.Input{Subject: s, Findings: findings, Policies: g.Policies, Exceptions: g.Exceptions, VEX: g.Statements, Unknown: slices.Clone(g.Problems), Now: now}
	for _, src := range out.Sources {
		if src.Name == secrets {
			in.UnknownSecrets = append(in.UnknownSecrets, src.Unknown...)
		} else {
			in.Unknown = append(in.Unknown, src.Unknown...)
		}
	}
	out.Verdict = policy.Judge(in)
	out.again(out.Verdict.Next)
	return out, nil
}

// secrets is the name of the source that looks for them.
const secrets = "secrets"

// again says that another look at some time may see something else.
func (s *Sheet) again(at time.Time) {
	if at.After(s.At) && (s.next.IsZero() || at.Before(s.next)) {
		s.next = at
	}
}

// find asks all sources and merges what they found.
func (j *Judge) find(ctx context.Context, c *catalog.Catalog, out *Sheet, e policy.Effective, before *inventory.Inventory) ([]policy.Finding, error) {
	inv := out.Inventory
	var lists [][]policy.Finding
	add := func(src Source, found []policy.Finding) {
		src.Found = len(found)
		out.again(src.Again)
		out.Sources, lists = append(out.Sources, src), append(lists, found)
	}
	if j.Advisories == nil {
		add(Source{Name: "advisories", Unknown: []string{NoAdvisories}}, nil)
	} else {
		known, err := j.Advisories.Known(ctx, inv)
		if err != nil {
			return nil, err
		}
		add(Source{Name: "advisories", AsOf: known.AsOf, Unknown: known.Unknown}, known.Findings)
	}
	for _, s := range j.Scanners {
		src, found, err := j.scanned(ctx, s, out)
		if err != nil {
			return nil, err
		}
		add(src, found)
	}
	searched := Source{Name: secrets, AsOf: out.At, Unknown: inv.SecretsUnknown}
	if !inv.SecretsRead {
		searched.Unknown = []string{"secrets were not looked for in it"}
	}
	add(searched, hygiene.Secrets(inv))
	around, err := j.around(ctx, c, out.Subject, e, before)
	if err != nil {
		return nil, err
	}
	add(Source{Name: "hygiene", AsOf: out.At}, hygiene.Check(inv, around))
	if around.MaxAge > 0 {
		out.again(inv.Config.Created.Add(around.MaxAge + time.Millisecond)) // it is too old by then
	}
	all := policy.Merge(lists...)
	return all, j.attribute(ctx, out.Subject.Image, inv, all)
}

// scannedFor is how long what another scanner said of a digest counts: its database may have changed. One that could say
// nothing is not asked again at once, whoever wants to know, and by itself only after askAgain: it may hang with each image.
const scannedFor, silentFor, askAgain = 6 * time.Hour, 10 * time.Minute, time.Hour

// scanned asks another scanner, or repeats what it said not long ago.
func (j *Judge) scanned(ctx context.Context, s scan.Scanner, out *Sheet) (Source, []policy.Finding, error) {
	src := Source{Name: s.Name(), AsOf: out.At}
	digest := out.Inventory.Digest.String()
	kept, err := store.ScannedOf(ctx, j.Store.Q(), digest)
	if err != nil {
		return src, nil, err
	}
	i := slices.IndexFunc(kept, func(k store.Scanned) bool { return k.Scanner == s.Name() })
	if i >= 0 && kept[i].Error != "" && out.At.Sub(time.UnixMilli(kept[i].At)) < silentFor {
		return silenced(s, kept[i]), nil, nil
	}
	if i >= 0 && kept[i].Error == "" && out.At.Sub(time.UnixMilli(kept[i].At)) < scannedFor {
		rep := new(scan.Report)
		if json.Unmarshal([]byte(kept[i].Body), rep) == nil {
			src.AsOf, src.Unknown = rep.Database.Built, rep.Warnings
			out.again(time.UnixMilli(kept[i].At).Add(scannedFor))
			return src, rep.Findings, nil
		}
	}
	rep, err := j.ask(ctx, s, out)
	if ctx.Err() != nil {
		return src, nil, ctx.Err()
	}
	keep := store.Scanned{Digest: digest, Scanner: s.Name(), At: out.At.UnixMilli()}
	if err != nil {
		keep.Error = err.Error()
		return silenced(s, keep), nil, store.SaveScanned(ctx, j.Store.Q(), keep)
	}
	body, err := json.Marshal(rep)
	if err != nil {
		return src, nil, err
	}
	keep.Body, src.AsOf, src.Unknown = string(body), rep.Database.Built, rep.Warnings
	out.again(out.At.Add(scannedFor))
	return src, rep.Findings, store.SaveScanned(ctx, j.Store.Q(), keep)
}

// silenced is a scanner that could say nothing.
func silenced(s scan.Scanner, k store.Scanned) Source {
	at := time.UnixMilli(k.At).UTC()
	return Source{Name: s.Name(), AsOf: at, Unknown: []string{"it was not looked at by " + s.Name() + ": " + k.Error}, Again: at.Add(askAgain)}
}

func (j *Judge) ask(ctx context.Context, s scan.Scanner, out *Sheet) (*scan.Report, error) {
	doc, err := sbom.CycloneDX(out.Inventory, sbom.Subject{Name: repositoryOf(out.Reference), Version: j.Version})
	if err != nil {
		return nil, err
	}
	return s.Scan(ctx, scan.Target{SBOM: doc, DiffIDs: out.Inventory.DiffIDs})
}

func repositoryOf(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	return withoutTag(name)
}

func withoutTag(reference string) string {
	if i := strings.LastIndexByte(reference, ':'); i > strings.LastIndexByte(reference, '/') {
		return reference[:i]
	}
	return reference
}

// attribute names the base that brought each finding in, as far as layers prove it.
func (j *Judge) attribute(ctx context.Context, image string, inv *inventory.Inventory, all []policy.Finding) error {
	above, err := j.ancestors(ctx, image, inv)
	for _, a := range above {
		for i, f := range all {
			if f.Layer >= 0 && f.Layer < a.layers {
				all[i].Inherited = a.name
			}
		}
	}
	return err
}

// ancestor is an image that an inventory stands on.
type ancestor struct {
	name   string
	layers int
}

// ancestors are those whose layers are an inventory's first ones, the nearest first: as they are now, or as they were when it
// was built. What stands on an old base has what is fixed in the new one from it all the same.
func (j *Judge) ancestors(ctx context.Context, image string, inv *inventory.Inventory) ([]ancestor, error) {
	w := j.world()
	if w == nil {
		return nil, nil
	}
	before, err := store.Ancestors(ctx, j.Store.Q(), words(inv.DiffIDs))
	if err != nil {
		return nil, err
	}
	layers := map[string]int{}
	for _, a := range before {
		layers[a.Image] = max(layers[a.Image], a.Layers)
	}
	var out []ancestor
	for range w.Graph.Len() {
		parent, ok := w.Graph.ParentOf(image)
		if !ok {
			break
		}
		n := layers[parent]
		if diffs := diffIDs(w, parent); len(diffs) > n && len(diffs) <= len(inv.DiffIDs) && slices.Equal(diffs, inv.DiffIDs[:len(diffs)]) {
			n = len(diffs)
		}
		if n > 0 {
			out = append(out, ancestor{parent, n})
		}
		image = parent
	}
	return out, nil
}

func words(hashes []v1.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}

func diffIDs(w *observe.World, name string) []v1.Hash {
	if u, ok := w.Facts.Upstreams[name]; ok {
		return u.DiffIDs
	}
	return w.Facts.Bases[name].DiffIDs
}

func (j *Judge) world() *observe.World {
	if j.World == nil {
		return nil
	}
	return j.World()
}
