package advisory_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

// Only what changed is read again, what is gone is gone, and a source that cannot be read keeps what it had.
func TestSyncOfADirectory(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		w := newWorld(t, st.WithClock(func() time.Time { return now }))
		inv := image(bookworm, deb("libssl3", "3.0.20-1", "openssl", "3.0.20-1"), deb("curl", "7", "curl", "7"))
		one := record("DEBIAN-CVE-2026-0001", "Debian:12", "openssl", "introduced 0", "fixed 3.0.22-1")
		w.write(one, record("DEBIAN-CVE-2026-0002", "Debian:12", "curl", "introduced 0", "fixed 8"))
		w.file("sub/all.zip", zipped(t, "DEBIAN-CVE-2026-0003.json", string(raw(t, record("DEBIAN-CVE-2026-0003", "Debian:12", "curl", "introduced 0"))), "README", "none of ours"))
		w.file(".git/x.json", []byte("no record"))
		w.file("notes.txt", []byte("no record"))
		s := w.sync()
		if s.Error != "" || s.Records != 3 || s.Broken != 0 || !s.OKAt.Equal(now) || !s.ChangedAt.Equal(now) || !slices.Equal(s.Ecosystems, []string{"Debian:12"}) || s.Place != w.dir {
			t.Fatalf("%+v", s)
		}
		w.same("at first", w.found(inv), []string{"CVE-2026-0001 libssl3 3.0.20-1 fixed 3.0.22-1", "CVE-2026-0002 curl 7 fixed 8", "CVE-2026-0003 curl 7"})

		first := now
		now = now.Add(time.Hour)
		if s := w.sync(); !s.ChangedAt.Equal(first) || !s.OKAt.Equal(now) {
			t.Errorf("nothing changed: %+v", s)
		}
		if r := w.result(inv); !r.AsOf.Equal(now) || !r.Covered() {
			t.Errorf("as of %s", r.AsOf)
		}

		w.write(with(one, "withdrawn", "2026-03-01T00:00:00Z"))
		w.file("DEBIAN-CVE-2026-0002.json", []byte(`{"id": "DEBIAN-CVE-2026-0002", "affected": 7}`))
		w.file("broken.json", []byte(`[`))
		if s := w.sync(); s.Records != 4 || s.Broken != 2 || len(s.Problems) != 2 || !strings.HasPrefix(s.Problems[0], "DEBIAN-CVE-2026-0002.json: ") || !s.ChangedAt.Equal(now) {
			t.Errorf("%+v", s)
		}
		w.same("one is withdrawn, one broken", w.found(inv), []string{"CVE-2026-0002 curl 7 fixed 8", "CVE-2026-0003 curl 7"})

		good := now
		now = now.Add(time.Hour)
		if err := os.Rename(w.dir, w.dir+".away"); err != nil {
			t.Fatal(err)
		}
		if s := w.sync(); s.Error == "" || !s.OKAt.Equal(good) || !s.LookedAt.Equal(now) || s.Records != 4 {
			t.Errorf("%+v", s)
		}
		if r := w.result(inv); len(r.Findings) != 2 || !r.AsOf.Equal(good) {
			t.Errorf("%+v", r)
		}
		if err := os.Mkdir(w.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if s := w.sync(); !strings.HasSuffix(s.Error, "has no OSV record") || len(w.found(inv)) != 2 {
			t.Errorf("an empty directory is a mistake, not a world without vulnerabilities: %+v", s)
		}
		w.write(record("DEBIAN-CVE-2026-0004", "Debian:12", "curl", "introduced 0"))
		w.sync()
		w.same("another directory", w.found(inv), []string{"CVE-2026-0004 curl 7"})

		if err := w.book.Use(nil); err != nil {
			t.Fatal(err)
		}
		if all, err := w.book.Sync(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		if r := w.result(inv); r.Covered() || len(r.Findings) != 0 || r.Coverage[0].Why != "no source has advisories for Debian:12" {
			t.Errorf("%+v", r)
		}
	})
}

// The first load of a mirror is one file, the next ones are single records, and most looks are one request.
func TestSyncOfAMirror(t *testing.T) {
	w := newWorld(t, nil)
	m := newMirror(t)
	w.book = w.open(advisory.Source{Name: "mirror", URL: m.URL + "/osv?token=secret", Ecosystems: []string{"Debian:12"}})
	for i := range 600 {
		m.put("Debian:12", record(fmt.Sprint("DEBIAN-CVE-2026-", 1000+i), "Debian:12", fmt.Sprint("p", i), "introduced 0", "fixed 2"))
	}
	two := record("DEBIAN-CVE-2026-9001", "Debian:12", "curl", "introduced 0", "fixed 8")
	two["affected"] = append(two["affected"].([]any), affected("Debian:11", "curl", "introduced 0"))
	m.put("Debian:12", two)
	inv := image(bookworm, deb("curl", "7", "curl", ""))
	s := w.sync()
	if s.Error != "" || s.Records != 601 || !slices.Equal(s.Ecosystems, []string{"Debian:12"}) || s.Place != m.URL+"/osv (Debian:12)" {
		t.Fatalf("%+v", s)
	}
	w.same("asked for", m.asked(), []string{"modified_id.csv", "all.zip"})
	w.same("found", w.found(inv), []string{"CVE-2026-9001 curl 7 fixed 8"})

	w.sync()
	w.same("nothing changed", m.asked(), []string{"modified_id.csv"})

	m.put("Debian:12", with(record("DEBIAN-CVE-2026-9001", "Debian:12", "curl", "introduced 0", "fixed 9"), "modified", "2026-02-02T00:00:00Z"))
	m.remove("Debian:12", "DEBIAN-CVE-2026-1000")
	if s := w.sync(); s.Error != "" || s.Records != 600 {
		t.Errorf("%+v", s)
	}
	w.same("one changed", m.asked(), []string{"modified_id.csv", "DEBIAN-CVE-2026-9001.json"})
	w.same("found", w.found(inv), []string{"CVE-2026-9001 curl 7 fixed 9"})

	m.put("Debian:12", with(record("DEBIAN-CVE-2026-9002", "Debian:12", "curl", "introduced 0"), "modified", "2026-02-03T00:00:00Z"))
	m.lose("DEBIAN-CVE-2026-9002.json")
	if s := w.sync(); s.Error != "" || s.Broken != 1 || !strings.Contains(s.Problems[0], "404") {
		t.Errorf("%+v", s)
	}
	m.asked()
	w.sync()
	w.same("what could not be had is asked for again", m.asked(), []string{"modified_id.csv", "DEBIAN-CVE-2026-9002.json"})

	m.list("Debian:12", "\n")
	if s := w.sync(); s.Error != "Debian:12: modified_id.csv names no record" || s.Records == 0 {
		t.Errorf("%+v", s)
	}
	m.list("Debian:12", "2026-02-03T00:00:00Z,../../etc/passwd\n")
	if s := w.sync(); !strings.HasPrefix(s.Error, "Debian:12: modified_id.csv:1: ") {
		t.Errorf("%+v", s)
	}
	m.Close()
	if s := w.sync(); s.Error == "" || strings.Contains(s.Error, "secret") || s.OKAt.IsZero() {
		t.Errorf("%+v", s)
	}
	w.same("offline", w.found(inv), []string{"CVE-2026-9001 curl 7 fixed 9"})
}

// One directory of a mirror that is missing keeps nobody from the others.
func TestPartOfAMirror(t *testing.T) {
	w := newWorld(t, nil)
	m := newMirror(t)
	w.book = w.open(advisory.Source{Name: "mirror", URL: m.URL, Ecosystems: []string{"Deiban:12", "Go"}})
	m.put("Go", record("CVE-2026-0001", "Go", "example.com/a", "introduced 0"))
	for range 2 {
		if s := w.sync(); !strings.HasPrefix(s.Error, "Deiban:12: GET ") || !strings.HasSuffix(s.Error, "404 Not Found") || s.Records != 1 {
			t.Errorf("%+v", s)
		}
	}
	w.same("asked for", m.asked(), []string{"modified_id.csv", "modified_id.csv", "CVE-2026-0001.json", "modified_id.csv", "modified_id.csv"})
}

// Records for all releases find what they find, and say nothing of the rest of a release.
func TestRecordsOfAllReleasesCoverNone(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian", "curl", "introduced 0"))
	w.sync()
	inv := image(bookworm, deb("curl", "7", "curl", ""))
	w.same("found", w.found(inv), []string{"CVE-2026-0001 curl 7"})
	if r := w.result(inv); r.Covered() || r.Coverage[0].Why != "no source has advisories for Debian:12" {
		t.Errorf("%+v", r.Coverage)
	}
}

// Where not all of an ecosystem could be read, that nothing was found means nothing.
func TestHalfAnEcosystemIsNone(t *testing.T) {
	w := newWorld(t, nil)
	m := newMirror(t)
	w.book = w.open(advisory.Source{Name: "mirror", URL: m.URL, Ecosystems: []string{"Debian:12", "Go"}})
	m.put("Go", record("CVE-2026-0001", "Go", "example.com/a", "introduced 0"))
	for i := range 30 {
		id := fmt.Sprint("DEBIAN-CVE-2026-", 1000+i)
		m.put("Debian:12", record(id, "Debian:12", "curl", "introduced 0", "fixed 2"))
		if i > 0 {
			m.lose(id + ".json")
		}
	}
	inv := image(bookworm, deb("openssl", "3", "openssl", ""))
	covered := func(what string, want bool, ecosystems ...string) {
		t.Helper()
		s := w.sync()
		if got := w.result(inv).Covered(); got != want || !slices.Equal(s.Ecosystems, ecosystems) {
			t.Errorf("%s: covered %v, %q (%s)", what, got, s.Ecosystems, s.Error)
		}
	}
	covered("the server went away", false, "Go")
	covered("it is not back", false, "Go")
	m.find()
	covered("all was read", true, "Debian:12", "Go")
	for i := range 30 {
		id := fmt.Sprint("DEBIAN-CVE-2026-", 2000+i)
		m.put("Debian:12", record(id, "Debian:12", "curl", "introduced 0", "fixed 2"))
		m.lose(id + ".json")
	}
	covered("what was read before is still known", true, "Debian:12", "Go")
}

func TestSyncOfAZip(t *testing.T) {
	w := newWorld(t, nil)
	m := newMirror(t)
	w.book = w.open(advisory.Source{Name: "zip", URL: m.URL + "/Go/all.zip"})
	m.put("Go", record("CVE-2026-0001", "Go", "example.com/a", "introduced 0", "fixed 1.1.0"))
	inv := image(bookworm, pkg(inventory.Golang, "example.com/a", "v1.0.0"))
	for range 2 {
		if s := w.sync(); s.Error != "" || s.Records != 1 {
			t.Fatalf("%+v", s)
		}
		w.same("found", w.found(inv), []string{"CVE-2026-0001 example.com/a v1.0.0 fixed 1.1.0"})
	}
	m.put("Go", record("CVE-2026-0002", "Go", "example.com/a", "introduced 0"))
	m.remove("Go", "CVE-2026-0001")
	w.sync()
	w.same("found", w.found(inv), []string{"CVE-2026-0002 example.com/a v1.0.0"})
}

// What is too large or no zip file at all is an error, or a broken record, and neither fills the memory.
func TestHostileArchives(t *testing.T) {
	w := newWorld(t, nil)
	good := string(raw(t, record("CVE-2026-0001", "Debian:12", "curl", "introduced 0")))
	w.file("a.zip", zipped(t, "bomb.json", strings.Repeat(" ", 33<<20), "../../up.json", good, "deep.json", strings.Repeat("[", 1<<20)))
	if s := w.sync(); s.Error != "" || s.Records != 3 || s.Broken != 2 || s.Problems[0] != "a.zip/bomb.json: it has more than 33554432 bytes" {
		t.Errorf("%+v", s)
	}
	w.file("b.zip", []byte("no zip"))
	if s := w.sync(); !strings.HasPrefix(s.Error, "b.zip: ") {
		t.Errorf("%+v", s)
	}
}

func TestLists(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		w := newWorld(t, st)
		dir := t.TempDir()
		kev, epss := filepath.Join(dir, "kev.json"), filepath.Join(dir, "epss.csv.gz")
		w.book = w.open(advisory.Source{Name: "a", Path: w.dir}, advisory.Source{Name: "kev", Kind: advisory.Exploited, Path: kev}, advisory.Source{Name: "scores", Kind: advisory.EPSS, Path: epss})
		w.write(record("CVE-2026-0001", "Debian:12", "curl", "introduced 0"), record("CVE-2026-0002", "Debian:12", "curl", "introduced 0"))
		put(t, kev, []byte(`{"dateReleased":"2026-11-20T15:00:00.1234Z","vulnerabilities":[{"cveID":"CVE-2026-0001","dateAdded":"2026-03-04"},{"cveID":7},{"cveID":"none"}]}`))
		put(t, epss, zip1(t, "#model_version:v2026.03.14,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\nCVE-2026-0001,0.12,0.9\nCVE-2026-0003,NaN,1\nCVE-2026-0004\nCVE-2026-0005,0.5,1\n"))
		all, err := w.book.Sync(t.Context())
		if err != nil || len(all) != 3 {
			t.Fatal(all, err)
		}
		if s := all[1]; s.Error != "" || s.Records != 1 || s.Broken != 2 || s.ListedAt.Format(time.DateOnly) != "2026-11-20" {
			t.Errorf("%+v", s)
		}
		if s := all[2]; s.Error != "" || s.Records != 2 || s.Broken != 2 || s.Problems[0] != `line 4: "NaN" is no probability` || s.ListedAt.Format(time.DateOnly) != "2026-11-20" {
			t.Errorf("%+v", s)
		}
		inv := image(bookworm, deb("curl", "7", "curl", ""))
		check := func(exploited bool, epss float64, why string) {
			t.Helper()
			fs := w.result(inv).Findings
			if len(fs) != 2 || fs[1].ID != "CVE-2026-0002" || fs[1].Exploited || fs[1].EPSS != nil || fs[1].Why != "How bad it is is not known." {
				t.Errorf("unknown is unknown: %+v", fs)
			}
			if f := fs[0]; f.Exploited != exploited || f.EPSS == nil || *f.EPSS != epss || f.Why != why {
				t.Errorf("%+v", f)
			}
		}
		check(true, 0.12, "It is known to be exploited, since 4 Mar 2026 at the latest.")
		if f, ok, err := w.book.Lookup(t.Context(), "cve-2026-0005"); err != nil || !ok || f.EPSS == nil || *f.EPSS != 0.5 || f.EPSSAt.IsZero() || f.Withdrawn || f.Severity != policy.SeverityUnknown {
			t.Errorf("only a list knows it: %+v %v %v", f, ok, err)
		}
		put(t, kev, []byte(`{"vulnerabilities":[{"cveID":"CVE-2020-0001","dateAdded":"2020-03-04"}]}`))
		put(t, epss, []byte("#score_date:2026-11-21\ncve,epss,percentile\nCVE-2026-0001,0.004,0.9\n"))
		if all, err = w.book.Sync(t.Context()); err != nil || all[1].Error+all[2].Error != "" {
			t.Fatal(all, err)
		}
		check(false, 0.004, "How bad it is is not known; the probability that it is exploited within 30 days is less than 1 % as of 21 Nov 2026.")
		if _, ok, err := w.book.Lookup(t.Context(), "CVE-2026-0005"); ok || err != nil {
			t.Errorf("it is listed no more: %v %v", ok, err)
		}
		put(t, kev, []byte(`{}`))
		if all, err = w.book.Sync(t.Context()); err != nil || all[1].Error != "it names no CVE" || all[1].Records != 1 {
			t.Error(all, err)
		}
	})
}

// Run looks when the time has come, says when something is new, and its heart beats.
func TestRun(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "curl", "introduced 0"))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	changed := make(chan struct{}, 10)
	var ended sync.WaitGroup
	run := func() { ended.Go(func() { w.book.Run(ctx, func() { changed <- struct{}{} }) }) }
	run()
	<-changed
	w.write(record("CVE-2026-0002", "Debian:12", "curl", "introduced 0"))
	if err := w.book.Use([]advisory.Source{{Name: "dir", Path: w.dir, Interval: time.Nanosecond}}); err != nil {
		t.Fatal(err)
	}
	<-changed
	stop()
	ended.Wait()
	all, err := store.Watchers(t.Context(), w.st.Q())
	if err != nil || len(all) != 1 || all[0].Name != "advisories/dir" || all[0].LastOK == 0 || all[0].NextRun < all[0].LastRun || all[0].Error != "" {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestMistakenSources(t *testing.T) {
	for want, sources := range map[string][]advisory.Source{
		"a source of advisories needs a name":                                                                                  {{Path: "x"}},
		"source a of advisories needs a path or a URL, one of the two":                                                         {{Name: "a", Path: "x", URL: "https://example.com/all.zip"}},
		`source a of advisories is of kind "openvex": known are osv, kev and epss`:                                             {{Name: "a", Kind: "openvex", Path: "x"}},
		"source a of advisories: its URL must begin with https:// or http:// and a host":                                       {{Name: "a", URL: "file:///etc/passwd"}},
		"two sources of advisories are named a":                                                                                {{Name: "a", Path: "x"}, {Name: "a", Path: "y"}},
		`source a of advisories is a mirror: say which ecosystems, like ecosystems = ["Debian:12", "Go"], or name a .zip file`: {{Name: "a", URL: "https://example.com/osv"}},
	} {
		if _, err := advisory.New(nil, advisory.Config{Sources: sources}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func put(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func zip1(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mirror serves records as OSV's own server does.
type mirror struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	records map[string]map[string]m // by ecosystem and id
	lists   map[string]string
	lost    map[string]bool
	seen    []string
}

func newMirror(t *testing.T) *mirror {
	x := &mirror{t: t, records: map[string]map[string]m{}, lists: map[string]string{}, lost: map[string]bool{}}
	x.Server = httptest.NewServer(x)
	t.Cleanup(x.Close)
	return x
}

func (x *mirror) put(ecosystem string, r m) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.records[ecosystem] == nil {
		x.records[ecosystem] = map[string]m{}
	}
	x.records[ecosystem][fmt.Sprint(r["id"])] = r
}

func (x *mirror) remove(ecosystem, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.records[ecosystem], id)
}

func (x *mirror) lose(file string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost[file] = true
}

// find finds what was lost.
func (x *mirror) find() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lost = map[string]bool{}
}

func (x *mirror) list(ecosystem, list string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lists[ecosystem] = list
}

// asked are the files that were asked for since it was asked.
func (x *mirror) asked() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() { x.seen = nil }()
	return x.seen
}

func (x *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ecosystem, file := filepath.Base(filepath.Dir(r.URL.Path)), filepath.Base(r.URL.Path)
	x.seen = append(x.seen, file)
	records := x.records[ecosystem]
	if records == nil || x.lost[file] {
		http.NotFound(w, r)
		return
	}
	var body []byte
	switch file {
	case "modified_id.csv":
		body = []byte(x.lists[ecosystem])
		if len(body) == 0 {
			for id, one := range records {
				body = fmt.Appendf(body, "%s,%s\n", one["modified"], id)
			}
		}
		lines := strings.SplitAfter(string(body), "\n")
		slices.Sort(lines)
		body = []byte(strings.Join(lines, ""))
	case "all.zip":
		var members []string
		for id, one := range records {
			members = append(members, id+".json", string(raw(x.t, one)))
		}
		body = zipped(x.t, members...)
	default:
		body = raw(x.t, records[strings.TrimSuffix(file, ".json")])
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sum(body))))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func sum(b []byte) (h uint64) {
	for _, c := range b {
		h = h*31 + uint64(c)
	}
	return h
}
