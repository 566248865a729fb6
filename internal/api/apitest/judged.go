package apitest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/observe"
	"rebuilder/internal/policy"
	"rebuilder/internal/registry"
	"rebuilder/internal/store"
)

// Elsewhere is what the catalog does not name and a registry has; Missing is what none has.
const (
	Elsewhere = registryHost + "/elsewhere/tool:1"
	Missing   = registryHost + "/elsewhere/nothing:1"
)

// judged adds a judge with policies, findings of every outcome, and what became of base/debian before.
func (w *World) judged(ctx context.Context) error {
	c := w.Loop.snap.Catalog
	yes, grace := true, 30*24*time.Hour
	c.Policies = []catalog.Policy{
		{Name: "everywhere", Severity: "high", Vulnerabilities: "enforce", OnlyFixable: &yes, Grace: &grace, Exploited: &yes, Secrets: "enforce"},
		{Name: "bases", Images: []string{"base/*"}, Rules: map[string]catalog.Level{policy.RuleRootUser: "enforce"}},
	}
	c.Exceptions = []catalog.Exception{{ID: "ACME-41", Finding: "CVE-2026-4000", Images: []string{"base/*"}, Reason: "only reached by " + Hostile, Owner: "platform team", Approver: "grace", Expires: Now().Add(10 * 24 * time.Hour)}}
	j := &judge.Judge{
		Store: w.Store, Advisories: advisories{}, World: func() *observe.World { return w.Loop.snap.World }, Catalog: func() *catalog.Catalog { return c },
		Inventory: w.read, Version: "1.2.3", Now: Now, Log: slog.New(slog.DiscardHandler),
	}
	w.Deps.Judge, w.Deps.Registry = j, elsewhere{}
	_, err := j.Sweep(ctx)
	return err
}

// read is what an observer does, of images that were read before.
func (w *World) read(ctx context.Context, _, reference, _ string) (*inventory.Inventory, error) {
	_, digest, _ := strings.Cut(reference, "@")
	inv, found, err := store.GetInventory(ctx, w.Store.Q(), digest)
	if err == nil && !found {
		err = errors.New(reference + ": connection refused")
	}
	return inv, err
}

// contents are inventories worth judging.
func (w *World) contents(ctx context.Context, q store.Querier) error {
	deb := func(name, version, source string, layer int) inventory.Package {
		return inventory.Package{Type: inventory.Deb, Name: name, Version: version, Architecture: "amd64", Source: source, SourceVersion: version, Layer: layer}
	}
	image := func(name, diffs string, size int64, user string, packages ...inventory.Package) *inventory.Inventory {
		return &inventory.Inventory{Format: inventory.Format, Digest: Digest(name), Platform: "linux/amd64", OS: inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}, DiffIDs: layers(strings.Split(diffs, ",")...),
			Packages: packages, Fingerprint: "sha256:" + name, Size: size, SecretsRead: true,
			Config: inventory.Config{User: user, Cmd: []string{"bash"}, Env: []string{"PATH"}, Created: ago(73 * time.Hour), Labels: map[string]string{"org.opencontainers.image.title": name + Hostile}}}
	}
	old := image("base/debian old", "upstream,debian older", 27_900_000, "", deb("libc6", "2.36-9+deb12u9", "glibc", 0), deb("libssl3", "3.0.16-1~deb12u1", "openssl", 1), deb("telnet", "0.17", "netkit", 1))
	now := image("base/debian", "upstream,debian", 28_100_000, "", deb("libc6", "2.36-9+deb12u10", "glibc", 0), deb("libssl3", "3.0.17-1~deb12u2", "openssl", 1), deb("tzdata", "2025b-0", "tzdata", 1))
	now.Config.ExposedPorts = []string{"8080/tcp"}
	now.Packages = append(now.Packages, inventory.Package{Type: inventory.Golang, Name: "stdlib", Version: "v1.22.0", Layer: 1, Path: "/usr/bin/tool"})
	now.Secrets = []inventory.Secret{{Rule: "private-key", Title: "Private key", Path: "/root/id_rsa" + Hostile, Line: 1, Layer: 1, Deleted: true, Mark: "1"}}
	web := image("web", "upstream,debian,python,web", 60_000_000, "app", deb("libssl3", "3.0.16-1~deb12u1", "openssl", 1))
	web.Config.Entrypoint, web.Config.Volumes, web.Unknown = []string{"/app", "serve"}, []string{"/data"}, []string{"/app is a static Go binary: the libraries in it are in no package database"}
	for i, inv := range []*inventory.Inventory{old, now, image("base/python", "upstream,debian,python", 45_000_000, "app"), image("web old", "upstream,debian,web", 59_000_000, "app"), web, image("elsewhere", "other", 1_000, "app", deb("libssl3", "3.0.17-1~deb12u2", "openssl", 0))} {
		name := []string{"base/debian", "base/debian", "base/python", "web", "web", Elsewhere}[i]
		if err := store.SaveInventory(ctx, q, name, inv, ms(time.Duration(90-10*i)*time.Hour)); err != nil {
			return err
		}
	}
	return w.promoted(ctx, q)
}

// promoted is how base/debian came to be what it is.
func (w *World) promoted(ctx context.Context, q store.Querier) error {
	const rollout = "r-1f5d2c90aa11-1"
	digest := Digest("base/debian").String()
	if _, err := store.SavePromotion(ctx, q, store.Promotion{Key: "p1", Rollout: rollout, Image: "base/debian", Channel: "stable", From: Digest("base/debian old").String(), To: digest, At: ms(71 * time.Hour)}); err != nil {
		return err
	}
	if err := store.SaveBuild(ctx, q, store.Build{ID: "b-1f5d2c90aa11-1-base-debian-1", Rollout: rollout, Image: "base/debian", Key: "k", State: "done", Started: ms(73 * time.Hour), Ended: ms(73*time.Hour - time.Minute), Digest: digest,
		Detail: store.BuildDetail{Steps: 3, Cached: 1, Worker: "first", Platform: "linux/amd64", Doubt: "a RUN downloads what it then runs"}}); err != nil {
		return err
	}
	if err := store.SaveProposal(ctx, q, store.Proposal{Key: "told web", Rollout: rollout, Application: "web", Repository: "acme/web", Branch: "main", Strategy: "pull-request", State: store.ProposalOpen, Number: 11,
		URL: "https://forge.example.com/acme/web/pull/11", Wants: map[string]string{"base/debian": digest}, CreatedAt: ms(70 * time.Hour), OpenedAt: ms(70 * time.Hour)}); err != nil {
		return err
	}
	ro := store.Rollout{ID: rollout, Plan: "p-1f5d2c90aa11", Cause: "package", Title: "libssl3 in base/debian", State: store.Finished, CreatedAt: ms(73 * time.Hour), StartedAt: ms(73 * time.Hour), EndedAt: ms(71 * time.Hour)}
	_, err := store.CreateRollout(ctx, q, ro, []store.Node{{Rollout: ro.ID, Image: "base/debian", Kind: "base", State: store.Done, Since: ms(70 * time.Hour), Attempt: 1, After: digest, Detail: store.NodeDetail{Proven: true, Evidence: store.Evidence{
		Tests:  &store.Tests{Passed: 9, Total: 9, Took: 3100},
		Trials: []store.Trial{{Image: "web", Repository: "acme/web", Outcome: store.TrialPassed, Took: 41000}, {Image: "site", Repository: "acme/site", Outcome: store.TrialBroken, Reason: "npm: " + Hostile}},
	}}}})
	return err
}

// advisories know fixed findings.
type advisories struct{}

func (advisories) State(context.Context) (string, error) { return "1", nil }

func (advisories) Known(_ context.Context, inv *inventory.Inventory) (judge.Known, error) {
	out := judge.Known{AsOf: ago(2 * time.Hour)}
	for _, p := range inv.Packages {
		switch p.Name + " " + p.Version {
		case "libssl3 3.0.17-1~deb12u2":
			worst, likely := vulnerability("CVE-2026-1000", policy.SeverityCritical, p, "3.0.17-1~deb12u3", 60*24*time.Hour), 0.713
			worst.Exploited, worst.EPSS = true, &likely
			out.Findings = append(out.Findings, worst, vulnerability("CVE-2026-3000", policy.SeverityHigh, p, "3.0.17-1~deb12u3", 24*time.Hour))
		case "libssl3 3.0.16-1~deb12u1":
			out.Findings = append(out.Findings, vulnerability("CVE-2026-0900", policy.SeverityHigh, p, "3.0.17-1~deb12u1", 90*24*time.Hour))
			if inv.Digest == Digest("web") {
				out.Findings = nil
				out.Unknown = []string{"of its 3 golang packages no vulnerability is known: no source has advisories for Go"}
			}
		case "libc6 2.36-9+deb12u10":
			out.Findings = append(out.Findings, vulnerability("CVE-2026-2000", policy.SeverityHigh, p, "", 0), vulnerability("CVE-2026-4000", policy.SeverityCritical, p, "2.36-9+deb12u11", 50*24*time.Hour))
		case "tzdata 2025b-0":
			out.Findings = append(out.Findings, vulnerability("CVE-2026-5000", policy.SeverityLow, p, "2025c-0", 0))
		}
	}
	return out, nil
}

func vulnerability(id string, s policy.Severity, p inventory.Package, fix string, known time.Duration) policy.Finding {
	f := policy.Finding{Kind: policy.Vulnerability, ID: id, Title: "a title that says " + Hostile, Type: p.Type, Package: p.Name, Version: p.Version, Source: p.Source, FixedIn: fix, Severity: s, Layer: p.Layer,
		PURL: fmt.Sprintf("pkg:deb/debian/%s@%s?arch=amd64", p.Name, p.Version), FoundBy: []string{"rebuilder"}, Do: "Rebuild it."}
	if known > 0 {
		f.FixKnown = ms(known)
	}
	return f
}

// elsewhere is a registry.
type elsewhere struct{}

func (elsewhere) Resolve(_ context.Context, ref, platform string) (registry.Resolved, error) {
	known := map[string]v1.Hash{Elsewhere: Digest("elsewhere"), registryHost + "/base/debian:stable": Digest("base/debian"), registryHost + "/elsewhere/unread:1": Digest("unread")}
	d, ok := known[ref]
	if !ok || platform != "linux/amd64" {
		return registry.Resolved{}, &registry.NotFound{Reference: ref, Why: "no such repository or tag in the registry"}
	}
	return registry.Resolved{Manifest: d, Platforms: []string{platform}, Manifests: map[string]v1.Hash{platform: d}}, nil
}
