package apitest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/api"
	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/judge"
	"rebuilder/internal/observe"
	"rebuilder/internal/store"
)

// files are what the sources of advisories have. CVE-2026-1234 has a patch on offer, CVE-2026-2222 has none yet; one record
// is broken; a vendor says that CVE-2026-2222 does not affect base/python.
var files = map[string]string{
	"osv/DEBIAN-CVE-2026-1234.json": `{"id":"DEBIAN-CVE-2026-1234","upstream":["CVE-2026-1234"],"aliases":["DSA-5999-1"],"modified":"2026-11-20T10:00:00Z","published":"2026-11-18T10:00:00Z",
		"summary":"openssl: HOSTILE","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
		"affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.17-1~deb12u3"}]}]}]}`,
	"osv/DEBIAN-CVE-2026-2222.json": `{"id":"DEBIAN-CVE-2026-2222","upstream":["CVE-2026-2222"],"modified":"2026-11-20T10:00:00Z","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N"}],
		"affected":[{"package":{"ecosystem":"Debian:12","name":"glibc"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]}`,
	"osv/GO-2026-0001.json": `{"id":"GO-2026-0001","aliases":["CVE-2026-3333"],"modified":"2026-11-20T10:00:00Z",
		"affected":[{"package":{"ecosystem":"Go","name":"example.com/nobody/has"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`,
	"osv/broken.json": `{"id":`,
	"kev.json":        `{"vulnerabilities":[{"cveID":"CVE-2026-1234","dateAdded":"2026-11-19"},{"cveID":"CVE-2026-7777","dateAdded":"2026-11-19"}]}`,
}

// advised adds real sources of advisories, a judge, exceptions of every kind, and verdicts that rest on all of that.
func (w *World) advised(ctx context.Context) error {
	c := w.Loop.snap.Catalog
	for _, s := range []catalog.AdvisorySource{
		{Name: "debian", Kind: catalog.OSV, Path: "osv"}, {Name: "exploited", Kind: catalog.ExploitedList, Path: "kev.json"},
		{Name: "vendor", Kind: catalog.OpenVEX, URL: "https://vendor.example.com/vex.json?key=secret", Interval: time.Hour}, {Name: "away", Kind: catalog.OpenVEX, URL: "https://away.example.com/vex.json", Interval: time.Hour},
	} {
		if s.Path != "" {
			s.Path = filepath.Join(w.dir, s.Path)
		}
		c.Advisories = append(c.Advisories, s)
	}
	c.Policies = []catalog.Policy{{Name: "everywhere", Severity: "high", Vulnerabilities: "enforce"}}
	c.Exceptions = []catalog.Exception{
		{ID: "ACME-1", Finding: "CVE-2026-1234", Images: []string{"web"}, Reason: "uploads are off", Owner: "web team", Approver: "grace", Expires: Now().Add(3 * 24 * time.Hour), Line: 41},
		{ID: "ACME-2", Finding: "CVE-2026-2222", Images: []string{"base/debian"}, Reason: "nobody logs in", Owner: "platform team", Expires: Now().Add(-2 * 24 * time.Hour), Line: 49},
	}
	hostile, err := json.Marshal(Hostile)
	if err != nil {
		return err
	}
	for name, content := range files {
		content = strings.ReplaceAll(content, "HOSTILE", string(hostile[1:len(hostile)-1]))
		file := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err := w.moreContents(ctx); err != nil {
		return err
	}
	book, err := w.book(ctx, c)
	if err != nil {
		return err
	}
	vex := &judge.VEX{Store: w.Store, Catalog: func() *catalog.Catalog { return c }, Client: &http.Client{Transport: vendor{}}, Now: Now}
	j := &judge.Judge{
		Store: w.Store, Advisories: judge.Book{Book: book}, Statements: vex, World: func() *observe.World { return w.Loop.snap.World }, Catalog: func() *catalog.Catalog { return c },
		Inventory: w.read, Version: "1.2.3", Now: Now, Log: slog.New(slog.DiscardHandler),
	}
	w.Deps.Judge, w.Deps.Advice = j, api.Advice{Book: book, Weigher: j, VEX: vex}
	w.Deps.Rejudge = func() {
		if _, err := j.Sweep(context.WithoutCancel(ctx)); err != nil {
			panic(err) // the fixture itself is wrong
		}
	}
	if _, _, err := store.RequestException(ctx, w.Store.Q(), store.Exception{Request: "1", Finding: "CVE-2026-2222", Images: []string{"base/*"}, Package: "libc6", Reason: "there is no patch yet", Owner: "platform team",
		Requester: "grace", RequestedAt: ms(5 * time.Hour), Expires: ms(-30 * 24 * time.Hour)}); err != nil {
		return err
	}
	_, err = j.Sweep(ctx)
	return err
}

// book reads the sources, at a moment of the world's.
func (w *World) book(ctx context.Context, c *catalog.Catalog) (*advisory.Book, error) {
	var sources []advisory.Source
	for _, s := range c.Advisories[:2] {
		sources = append(sources, advisory.Source{Name: s.Name, Kind: advisory.Kind(s.Kind), Path: s.Path})
	}
	book, err := advisory.New(w.Store, advisory.Config{Sources: sources})
	if err != nil {
		return nil, err
	}
	if _, err := book.Sync(ctx); err != nil {
		return nil, err
	}
	all, err := store.AdvisorySources(ctx, w.Store.Q())
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		s.Place = "/srv/" + s.Name
		s.LookedAt, s.OKAt, s.ChangedAt = ms(20*time.Minute), ms(20*time.Minute), ms(26*time.Hour)
		if s.Error != "" {
			return nil, fmt.Errorf("%s: %s", s.Name, s.Error)
		}
		if err := store.SaveAdvisorySource(ctx, w.Store.Q(), s); err != nil {
			return nil, err
		}
	}
	return book, nil
}

// moreContents are images that are not hit, and one of which no source knows anything.
func (w *World) moreContents(ctx context.Context) error {
	debian, alpine := inventory.OS{ID: "debian", Version: "12", Codename: "bookworm"}, inventory.OS{ID: "alpine", Version: "3.22.1"}
	for name, inv := range map[string]*inventory.Inventory{
		"jobs": {OS: debian, DiffIDs: layers("upstream", "debian", "python", "jobs"), Packages: []inventory.Package{
			{Type: inventory.Deb, Name: "libssl3", Version: "3.0.17-1~deb12u3", Architecture: "amd64", Source: "openssl"}, {Type: inventory.NPM, Name: "left-pad", Version: "1.3.0"}}},
		"legacy": {OS: alpine, DiffIDs: layers("legacy"), Packages: []inventory.Package{{Type: inventory.APK, Name: "libssl3", Version: "3.5.0-r0", Architecture: "x86_64", Source: "openssl"}}},
	} {
		inv.Format, inv.Digest, inv.Platform, inv.Fingerprint = inventory.Format, Digest(name), "linux/amd64", name
		if err := store.SaveInventory(ctx, w.Store.Q(), name, inv, ms(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

// vendor answers for all servers: one has statements.
type vendor struct{}

func (vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if r.URL.Host != "vendor.example.com" {
		http.Error(rec, "no", http.StatusServiceUnavailable)
		return rec.Result(), nil
	}
	_, err := fmt.Fprint(rec, `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://vendor.example.com/vex/1","author":"vendor","timestamp":"2026-11-20T00:00:00Z","version":1,"statements":[
		{"vulnerability":{"name":"CVE-2026-2222"},"products":[{"@id":"pkg:oci/python?repository_url=`+registryHost+`/base/python"}],"status":"not_affected","justification":"vulnerable_code_not_in_execute_path"}]}`)
	return rec.Result(), err
}
