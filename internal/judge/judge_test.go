package judge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/graph"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/observe"
	"rebuilder/internal/plan"
	"rebuilder/internal/policy"
	"rebuilder/internal/scan"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// court is a judge over images whose inventories are written by hand.
type court struct {
	*judge.Judge
	t      *testing.T
	world  *observe.World
	known  map[string][]policy.Finding // by digest
	state  string
	asked  int    // inventories that advisories were asked for
	during func() // is called while they are; may be nil
}

func (c *court) Known(_ context.Context, inv *inventory.Inventory) (judge.Known, error) {
	c.asked++
	if c.during != nil {
		c.during()
	}
	return judge.Known{Findings: slices.Clone(c.known[inv.Digest.String()]), AsOf: now.Add(-time.Hour)}, nil
}

func (c *court) State(context.Context) (string, error) { return c.state, nil }

const rules = `
[registry]
address = "127.0.0.1:5000"
[[upstream]]
name = "upstream/debian"
image = "127.0.0.1:5000/library/debian:12"
[[base]]
name = "base/debian"
context = "debian"
owner = "platform"
labels = { tier = "gold" }
[[policy]]
name = "serious"
match = { tier = "gold" }
vulnerabilities = "enforce"
severity = "high"
rules = { root-user = "enforce" }
`

func newCourt(t *testing.T, st *store.Store, toml string) *court {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "debian", "Dockerfile"), "FROM 127.0.0.1:5000/library/debian:12\n")
	write(t, filepath.Join(dir, "catalog.toml"), toml)
	cat, err := catalog.Load(filepath.Join(dir, "catalog.toml"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := graph.New([]graph.Node{{Name: "upstream/debian", Kind: graph.Upstream}, {Name: "base/debian", Kind: graph.Base}},
		[]graph.Edge{{Parent: "upstream/debian", Child: "base/debian", Kind: graph.Inherits, Evidence: graph.FromLayers}})
	if err != nil {
		t.Fatal(err)
	}
	c := &court{t: t, known: map[string][]policy.Finding{}, state: "1",
		world: &observe.World{Graph: g, Facts: plan.Facts{Upstreams: map[string]plan.Image{}, Bases: map[string]plan.Base{}, Applications: map[string]plan.Application{}}}}
	c.Judge = &judge.Judge{
		Store: st, Advisories: c, World: func() *observe.World { return c.world }, Catalog: func() *catalog.Catalog { return cat }, Now: func() time.Time { return now },
		Log: slog.New(slog.DiscardHandler),
		Inventory: func(ctx context.Context, _, reference, _ string) (*inventory.Inventory, error) {
			_, digest, _ := strings.Cut(reference, "@")
			inv, found, err := store.GetInventory(ctx, st.Q(), digest)
			if err == nil && !found {
				err = errors.New("no such inventory")
			}
			return inv, err
		},
	}
	return c
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

// image stores an inventory with openssl in its first layer.
func (c *court) image(digest string, user string, layers ...string) *inventory.Inventory {
	c.t.Helper()
	inv := &inventory.Inventory{Format: inventory.Format, Digest: hash(digest), Platform: "linux/amd64", OS: inventory.OS{ID: "debian", Version: "12"}, SecretsRead: true,
		Config: inventory.Config{User: user, Created: now.Add(-24 * time.Hour)}, Fingerprint: digest, Size: 100,
		Packages: []inventory.Package{{Type: inventory.Deb, Name: "openssl", Version: "3.0.1", Architecture: "amd64", Source: "openssl", SourceVersion: "3.0.1"}}}
	for _, l := range layers {
		inv.DiffIDs = append(inv.DiffIDs, hash(l))
	}
	if err := store.SaveInventory(c.t.Context(), c.Store.Q(), "base/debian", inv, now.UnixMilli()); err != nil {
		c.t.Fatal(err)
	}
	return inv
}

func cve(id string, s policy.Severity, layer int) policy.Finding {
	return policy.Finding{Kind: policy.Vulnerability, ID: id, Type: "deb", Package: "openssl", Source: "openssl", Version: "3.0.1", FixedIn: "3.0.2", Severity: s, Layer: layer, FoundBy: []string{"rebuilder"}}
}

func TestSheet(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	up, base := c.image("a", "", "1"), c.image("b", "app", "1", "2")
	c.world.Facts.Upstreams["upstream/debian"] = plan.Image{Reference: "127.0.0.1:5000/library/debian:12", Digest: up.Digest, DiffIDs: up.DiffIDs}
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian:stable", Digest: base.Digest, DiffIDs: base.DiffIDs}}
	c.known[base.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0), cve("CVE-2026-2", policy.SeverityLow, 1)}

	s, err := c.Image(t.Context(), "base/debian")
	if err != nil {
		t.Fatal(err)
	}
	if s.Subject.Kind != "base" || s.Subject.Labels["owner"] != "platform" || s.Subject.Labels["tier"] != "gold" || s.Reference != "127.0.0.1:5000/base/debian@"+base.Digest.String() {
		t.Errorf("subject %+v at %s", s.Subject, s.Reference)
	}
	if v := s.Verdict; v.Outcome != policy.Fail || len(v.Policies) != 1 || v.Outcomes[policy.Fails] != 1 || v.Outcomes[policy.Below] != 1 {
		t.Errorf("verdict %+v", v)
	}
	if f := s.Verdict.Findings[0]; f.ID != "CVE-2026-1" || f.Inherited != "upstream/debian" || !strings.Contains(f.Do, "upstream/debian") {
		t.Errorf("what the upstream brought in: %+v", f)
	}
	for _, want := range []string{"advisories", "secrets", "hygiene"} {
		if !slices.ContainsFunc(s.Sources, func(src judge.Source) bool { return src.Name == want }) {
			t.Errorf("nobody says what %s found: %+v", want, s.Sources)
		}
	}
	if _, err := c.Image(t.Context(), "base/other"); !errors.Is(err, judge.ErrUnknown) {
		t.Errorf("an image that is none: %v", err)
	}
}

// What stands on an old base has it from there, though the base is another one by now.
func TestInheritedFromWhatWas(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	old, base := c.image("a", "", "1"), c.image("b", "app", "1", "2")
	if _, err := c.Store.Q().Exec(t.Context(), "UPDATE inventory SET image='upstream/debian' WHERE digest=$1", old.Digest.String()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.IndexAncestors(t.Context(), c.Store.Q(), 10); err != nil {
		t.Fatal(err)
	}
	c.world.Facts.Upstreams["upstream/debian"] = plan.Image{Reference: "127.0.0.1:5000/library/debian:12", Digest: hash("f"), DiffIDs: []v1.Hash{hash("9")}}
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian:stable", Digest: base.Digest, DiffIDs: base.DiffIDs}}
	c.known[base.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0), cve("CVE-2026-2", policy.SeverityLow, 1)}
	s, err := c.Image(t.Context(), "base/debian")
	if err != nil || s.Verdict.Findings[0].Inherited != "upstream/debian" || s.Verdict.Findings[1].Inherited != "" {
		t.Errorf("%+v, %v", s.Verdict.Findings, err)
	}
}

// Nothing is known without a source, and that is never taken for fine where vulnerabilities are enforced.
func TestWithoutAdvisories(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	c.Advisories = nil
	inv := c.image("b", "app", "1")
	s, err := c.Sheet(t.Context(), policy.Subject{Image: "base/debian"}, "", inv)
	if err != nil || s.Verdict.Outcome != policy.Undecided || !slices.Contains(s.Verdict.Unknown, judge.NoAdvisories) {
		t.Errorf("%+v, %v", s.Verdict, err)
	}
}

func TestCandidate(t *testing.T) {
	for name, c := range map[string]struct {
		before, after []policy.Finding
		user          string
		blocking      []string
		fixed, new    int
	}{
		"better":                 {before: []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}, user: "app", fixed: 1},
		"as bad as before":       {before: []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}, after: []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}, user: "app"},
		"worse":                  {after: []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}, user: "app", blocking: []string{"CVE-2026-1 in openssl 3.0.1 (fixed in 3.0.2)"}, new: 1},
		"worse, and not serious": {after: []policy.Finding{cve("CVE-2026-1", policy.SeverityLow, 0)}, user: "app", new: 1},
		"root, which was not":    {blocking: []string{"root-user"}},
	} {
		t.Run(name, func(t *testing.T) {
			court := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
			before, after := court.image("a", "app", "1"), court.image("b", c.user, "1", "2")
			court.known[before.Digest.String()], court.known[after.Digest.String()] = c.before, c.after
			cat := court.Catalog()
			v, err := court.Candidate(t.Context(), cat.Bases[0], after.Digest.String(), before.Digest.String())
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(v.Blocking, c.blocking) || v.Compared.Fixed != c.fixed || v.Compared.New != c.new {
				t.Errorf("%+v, compared %+v", v, v.Compared)
			}
			k, found, err := store.GetJudgement(t.Context(), court.Store.Q(), after.Digest.String())
			if err != nil || !found || k.Outcome != v.Outcome {
				t.Errorf("kept %+v, %v, %v", k, found, err)
			}
		})
	}
	t.Run("the first", func(t *testing.T) {
		court := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
		inv := court.image("b", "app", "1")
		court.known[inv.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}
		v, err := court.Candidate(t.Context(), court.Catalog().Bases[0], inv.Digest.String(), "")
		if err != nil || len(v.Blocking) != 1 || v.Compared != nil {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// What is as it was is not judged again, and what may have changed is.
func TestSweep(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		c := newCourt(t, st, rules)
		inv := c.image("b", "app", "1")
		c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian:stable", Digest: inv.Digest, DiffIDs: inv.DiffIDs}}
		sweep := func(want int, why string) {
			t.Helper()
			if n, err := c.Sweep(t.Context()); err != nil || n != want {
				t.Errorf("%s: %d judged, %v", why, n, err)
			}
		}
		sweep(1, "the first time")
		sweep(0, "nothing changed")
		c.known[inv.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}
		c.state = "2"
		sweep(1, "advisories changed")
		k, _, err := store.GetJudgement(t.Context(), st.Q(), inv.Digest.String())
		if err != nil || k.Outcome != string(policy.Fail) {
			t.Errorf("%+v, %v", k, err)
		}
		var kept judge.Sheet
		if want := []store.Tally{{Kind: policy.Vulnerability, Severity: policy.SeverityHigh, Outcome: policy.Fails, Fixable: true, Count: 1}}; !slices.Equal(k.Tally, want) {
			t.Errorf("counted %+v", k.Tally)
		}
		if err := json.Unmarshal([]byte(k.Body), &kept); err != nil || kept.Verdict.Findings[0].ID != "CVE-2026-1" {
			t.Errorf("kept %s, %v", k.Body, err)
		}
		audit, err := store.AuditLog(t.Context(), st.Q(), store.AuditFilter{Object: "base/debian"})
		if err != nil || len(audit) != 2 || audit[0].Action != "verdict fail" || audit[0].Rule != "policy serious" {
			t.Errorf("%+v, %v", audit, err)
		}
	})
}

// What a verdict rests on besides advisories: labels of the catalog, the recipe, the age of the image, another scanner's word.
func TestSweepSeesWhatElseChanged(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), strings.Replace(rules, `rules = {`, "max_age = \"2d\"\nrules = { too-old = \"enforce\",", 1))
	at := now
	c.Now = func() time.Time { return at }
	trivy := &scanner{err: errors.New("it has no database")}
	c.Scanners = []scan.Scanner{trivy}
	inv := c.image("b", "app", "1")
	base := plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian@" + inv.Digest.String(), Digest: inv.Digest, DiffIDs: inv.DiffIDs}}
	c.world.Facts.Bases["base/debian"] = base
	sweep := func(why string, want int, outcome policy.VerdictOutcome) {
		t.Helper()
		n, err := c.Sweep(t.Context())
		k, _, err2 := store.GetJudgement(t.Context(), c.Store.Q(), inv.Digest.String())
		if n != want || k.Outcome != string(outcome) || err != nil || err2 != nil {
			t.Errorf("%s: %d judged, %s; %v %v", why, n, k.Outcome, err, err2)
		}
		var kept judge.Sheet
		if err := json.Unmarshal([]byte(k.Body), &kept); err != nil || kept.Reference != base.Reference {
			t.Errorf("%s: kept as %s, %v", why, kept.Reference, err)
		}
	}
	sweep("a scanner that cannot", 1, policy.Undecided)
	at = at.Add(59 * time.Minute)
	sweep("not asked again for an hour", 0, policy.Undecided)
	trivy.err, at = nil, at.Add(2*time.Minute)
	sweep("the scanner can", 1, policy.Fail) // by CVE-2026-9
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: base.Image, Parents: []plan.Parent{{Reference: "debian", Where: "Dockerfile:1"}}}
	sweep("the recipe is another", 1, policy.Fail)
	trivy.nothing, at = true, at.Add(6*time.Hour)
	sweep("the scanner's word is old", 1, policy.Pass)
	at = now.Add(23 * time.Hour)
	sweep("nothing new but the scanner's word", 1, policy.Pass)
	at = now.Add(24*time.Hour + time.Second) // it was made a day before
	sweep("it is too old", 1, policy.Fail)
	cat := *c.Catalog()
	cat.Bases = slices.Clone(cat.Bases)
	cat.Bases[0].Labels = nil
	c.Catalog = func() *catalog.Catalog { return &cat }
	sweep("no policy is for it any more", 1, policy.Pass)
}

// An image that cannot be judged does not keep the others from it.
func TestSweepGoesOn(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	broken, fine := c.image("a", "", "1"), c.image("b", "app", "1", "2")
	c.world.Facts.Upstreams["upstream/debian"] = plan.Image{Reference: "127.0.0.1:5000/library/debian:12", Digest: broken.Digest}
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian:stable", Digest: fine.Digest}}
	if _, err := c.Store.Q().Exec(t.Context(), "UPDATE inventory SET body='{' WHERE digest=$1", broken.Digest.String()); err != nil {
		t.Fatal(err)
	}
	n, err := c.Sweep(t.Context())
	if n != 1 || err == nil || !strings.Contains(err.Error(), "upstream/debian: ") {
		t.Errorf("%d judged, %v", n, err)
	}
	if _, found, err := store.GetJudgement(t.Context(), c.Store.Q(), fine.Digest.String()); err != nil || !found {
		t.Errorf("the other: %v, %v", found, err)
	}
}

// Advisories that change while a candidate is judged by what they were have it judged again.
func TestCandidateOfAMoment(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	inv := c.image("b", "app", "1")
	c.world.Facts.Bases["base/debian"] = plan.Base{Image: plan.Image{Reference: "127.0.0.1:5000/base/debian:stable", Digest: inv.Digest}}
	c.during = func() { c.state = "2" }
	if _, err := c.Candidate(t.Context(), c.Catalog().Bases[0], inv.Digest.String(), ""); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Sweep(t.Context()); err != nil || n != 1 {
		t.Errorf("%d judged, %v", n, err)
	}
}

// What only one finds who could not look at both is neither new nor fixed.
func TestCandidateWithASilentScanner(t *testing.T) {
	for name, deaf := range map[string]int{"of the image before": 1, "of the candidate": 2} {
		t.Run(name, func(t *testing.T) {
			c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
			before, after := c.image("a", "app", "1"), c.image("b", "app", "1", "2")
			c.Scanners = []scan.Scanner{&scanner{deaf: deaf}}
			v, err := c.Candidate(t.Context(), c.Catalog().Bases[0], after.Digest.String(), before.Digest.String())
			if err != nil || len(v.Blocking) > 0 || v.Compared.Fixed+v.Compared.New+v.Compared.Remaining > 0 || !strings.Contains(strings.Join(v.Unknown, "; "), "trivy") {
				t.Errorf("%+v compared %+v, %v", v, v.Compared, err)
			}
		})
	}
}

// What is kept with a rollout is bounded, whatever is found.
func TestSummaryIsBounded(t *testing.T) {
	s := &judge.Sheet{}
	for i := range 1000 {
		s.Verdict.Unknown = append(s.Verdict.Unknown, fmt.Sprint("sentence ", i))
		s.Verdict.Findings = append(s.Verdict.Findings, policy.Judged{Finding: cve(fmt.Sprint("CVE-2026-", i), policy.SeverityHigh, 0), Outcome: policy.Fails})
	}
	for name, was := range map[string]*judge.Sheet{"the first": nil, "another": {}} {
		v := judge.Summary(s, was)
		if len(v.Blocking) != 20 || v.BlockingCount != 1000 || len(v.Unknown) != 20 || v.Unknown[19] != "981 more things" {
			t.Errorf("%s: %d of %d forbid it, %d unknown (%s)", name, len(v.Blocking), v.BlockingCount, len(v.Unknown), v.Unknown[len(v.Unknown)-1])
		}
	}
}

// What could not be searched for secrets is no pass where they are enforced, and content that is not known is none either.
func TestWhatNobodyCouldLookAt(t *testing.T) {
	for name, c := range map[string]struct {
		policy string
		change func(*inventory.Inventory)
		want   policy.VerdictOutcome
	}{
		"secrets were not looked for":      {`secrets = "enforce"`, func(inv *inventory.Inventory) { inv.SecretsRead = false }, policy.Undecided},
		"nor in some files":                {`secrets = "enforce"`, func(inv *inventory.Inventory) { inv.SecretsUnknown = []string{"2 files were not searched for secrets"} }, policy.Undecided},
		"nobody asked for secrets":         {`vulnerabilities = "enforce"`, func(inv *inventory.Inventory) { inv.SecretsUnknown = []string{"2 files were not searched for secrets"} }, policy.Pass},
		"packages of another manager":      {`vulnerabilities = "enforce"`, func(inv *inventory.Inventory) { inv.Unknown = []string{"/nix/store is Nix's"} }, policy.Undecided},
		"nobody asked for vulnerabilities": {`secrets = "enforce"`, func(inv *inventory.Inventory) { inv.Unknown = []string{"/nix/store is Nix's"} }, policy.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			court := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules[:strings.Index(rules, "[[policy]]")]+"[[policy]]\nname = \"p\"\n"+c.policy+"\n")
			inv := court.image("b", "app", "1")
			c.change(inv)
			s, err := court.Sheet(t.Context(), policy.Subject{Image: "base/debian"}, "", inv)
			if err != nil || s.Verdict.Outcome != c.want {
				t.Errorf("%s, %v; want %s", s.Verdict.Outcome, err, c.want)
			}
		})
	}
}

// scanner is another scanner, as it may be.
type scanner struct {
	asked   int
	err     error
	nothing bool // it finds nothing
	deaf    int  // the one time when it could say nothing
}

func (*scanner) Name() string { return "trivy" }

func (s *scanner) Scan(_ context.Context, t scan.Target) (*scan.Report, error) {
	s.asked++
	if !strings.Contains(string(t.SBOM), "openssl") {
		return nil, fmt.Errorf("no openssl in %s", t.SBOM)
	}
	if s.asked == s.deaf {
		return nil, errors.New("it took too long")
	}
	if s.err != nil {
		return nil, s.err
	}
	if s.nothing {
		return &scan.Report{Scanner: "trivy"}, nil
	}
	return &scan.Report{Scanner: "trivy", Findings: []policy.Finding{{Kind: policy.Vulnerability, ID: "CVE-2026-9", Type: "deb", Package: "openssl", Version: "3.0.1", Severity: policy.SeverityHigh, FoundBy: []string{"trivy"}}}}, nil
}

func TestOtherScanners(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	inv := c.image("b", "app", "1")
	trivy := &scanner{}
	c.Scanners = []scan.Scanner{trivy}
	for range 2 {
		s, err := c.Sheet(t.Context(), policy.Subject{Image: "base/debian"}, "127.0.0.1:5000/base/debian@"+inv.Digest.String(), inv)
		if err != nil || len(s.Verdict.Findings) != 1 || s.Verdict.Findings[0].ID != "CVE-2026-9" {
			t.Fatalf("%+v, %v", s.Verdict, err)
		}
	}
	if trivy.asked != 1 {
		t.Errorf("asked %d times of the same digest", trivy.asked)
	}
	other := c.image("c", "app", "1")
	trivy.err = errors.New("it has no database: say so")
	for range 2 {
		s, err := c.Sheet(t.Context(), policy.Subject{Image: "base/debian"}, "", other)
		if err != nil || s.Verdict.Outcome != policy.Undecided || !strings.Contains(strings.Join(s.Verdict.Unknown, ";"), "no database") {
			t.Errorf("a scanner that could not: %+v, %v", s.Verdict, err)
		}
		if !slices.ContainsFunc(s.Sources, func(src judge.Source) bool { return src.Name == "trivy" && src.Again.Equal(now.Add(time.Hour)) }) {
			t.Errorf("it is asked again: %+v", s.Sources)
		}
	}
	if trivy.asked != 2 {
		t.Errorf("one that could not was asked again at once: %d times", trivy.asked-1)
	}
}

func TestBetween(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	a, b := c.image("a", "app", "1"), c.image("b", "app", "1", "2")
	c.known[a.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}
	c.known[b.Digest.String()] = []policy.Finding{cve("CVE-2026-2", policy.SeverityLow, 0)}
	got, err := c.Between(t.Context(), c.Catalog().Bases[0], a.Digest.String(), b.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	if f := got.Findings; len(f.Fixed) != 1 || len(f.New) != 1 || f.Fixed[0].ID != "CVE-2026-1" || f.New[0].ID != "CVE-2026-2" {
		t.Errorf("%+v", f)
	}
	if got.Was.Outcomes[policy.Fails] != 1 || got.Is.Outcomes[policy.Fails] != 0 {
		t.Errorf("fails %d before, %d now", got.Was.Outcomes[policy.Fails], got.Is.Outcomes[policy.Fails])
	}
	for _, d := range []string{a.Digest.String(), b.Digest.String()} {
		if _, kept, err := store.GetJudgement(t.Context(), c.Store.Q(), d); err != nil || kept {
			t.Errorf("%s: a verdict was kept, %v", d, err)
		}
	}
	if _, err := c.Between(t.Context(), c.Catalog().Bases[0], "sha256:"+strings.Repeat("f", 64), b.Digest.String()); err == nil {
		t.Error("what was never read was judged")
	}
}

func TestDiffer(t *testing.T) {
	c := newCourt(t, storetest.Open(t, storetest.SQLite(t)), rules)
	a, b := c.image("a", "app", "1"), c.image("b", "", "1", "2")
	b.Packages[0].Version, b.Size, b.Config.ExposedPorts = "3.0.2", 150, []string{"8080/tcp"}
	c.known[a.Digest.String()] = []policy.Finding{cve("CVE-2026-1", policy.SeverityHigh, 0)}
	sheet := func(inv *inventory.Inventory) *judge.Sheet {
		s, err := c.Sheet(t.Context(), policy.Subject{Image: "base/debian"}, "", inv)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	d := judge.Differ(sheet(a), sheet(b))
	var settings []string
	for _, s := range d.Settings {
		settings = append(settings, fmt.Sprintf("%s %s>%s", s.Name, s.Before, s.After))
	}
	if got := strings.Join(settings, "; "); got != "size 100>150; layers 1>2; user app>; ports >8080/tcp" {
		t.Errorf("settings: %s", got)
	}
	if len(d.Packages) != 1 || d.Packages[0].To != "3.0.2" || len(d.Findings.Fixed) != 1 || d.Findings.Fixed[0].ID != "CVE-2026-1" || d.Same {
		t.Errorf("%+v", d)
	}
}
