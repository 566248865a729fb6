package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"rebuilder/internal/inventory"
)

func state(t *testing.T, d *Watcher, r inventory.Repository) *Index {
	t.Helper()
	ix, err := d.State(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if ix.Stale != nil {
		t.Fatal(ix.Stale)
	}
	return ix
}

func has(t *testing.T, ix *Index, name, versions string) {
	t.Helper()
	if got := strings.Join(ix.Versions(name), " "); got != versions {
		t.Errorf("%s in %s: %q, want %q", name, ix.Name(), got, versions)
	}
}

func TestUnchangedIsOneRequest(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1.0-1", "b 2:1.0~rc1 all")
	dir := t.TempDir()
	d := w.watcher(dir)
	first := state(t, d, w.repo())
	has(t, first, "a", "1.0-1")
	has(t, first, "b", "2:1.0~rc1")
	if got, want := w.seen(), "200 dists/stable/InRelease, 200 dists/stable/main/binary-amd64/by-hash"; got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	if first.Label != "Test-Security" || first.Suite != "stable" || !first.Date.Equal(w.now) {
		t.Errorf("index says %+v", first)
	}
	for _, again := range []*Watcher{d, w.watcher(dir)} { // and after a restart
		second := state(t, again, w.repo())
		if got, want := w.seen(), "304 dists/stable/InRelease"; got != want {
			t.Errorf("unchanged: %s, want %s", got, want)
		}
		if second.Hash != first.Hash || !second.Date.Equal(first.Date) {
			t.Errorf("unchanged: hash %s of %s, was %s of %s", second.Hash, second.Date, first.Hash, first.Date)
		}
		has(t, second, "a", "1.0-1")
	}
}

func TestNewVersionIsSeen(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1", "b 1")
	d := w.watcher(t.TempDir())
	inv := imageOf([]inventory.Repository{w.repo()}, "a 1", "b 1", "c 1")
	before := state(t, d, w.repo())
	if p := Patches(inv, []*Index{before}); len(p) != 0 {
		t.Fatalf("patches before: %+v", p)
	}
	w.later(time.Hour)
	w.publish(suite{}, "a 1", "b 1+deb12u1 amd64 bsource")
	noticed := w.now
	after := state(t, d, w.repo())
	if before.Hash == after.Hash {
		t.Error("the hash did not change")
	}
	want := Patch{Package: "b", Architecture: "amd64", Source: "bsource", From: "1", To: "1+deb12u1",
		Repository: w.uri + " stable main", PublishedAt: noticed.UnixMilli()}
	if p := Patches(inv, []*Index{after}); len(p) != 1 || p[0] != want {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	// Its date stays when the release is signed anew, and the hash too.
	w.later(24 * time.Hour)
	w.publish(suite{}, "a 1", "b 1+deb12u1 amd64 bsource")
	again := state(t, d, w.repo())
	if p := Patches(inv, []*Index{again}); len(p) != 1 || p[0] != want {
		t.Errorf("a day later: %+v", p)
	}
	if again.Hash != after.Hash || again.Date.Equal(after.Date) {
		t.Errorf("a day later: hash %s, date %s", again.Hash, again.Date)
	}
}

// Each case spoils the second state of a repository; the first one must be kept.
func TestRefused(t *testing.T) {
	other := newKey(t, "other")
	day := 24 * time.Hour
	for _, c := range []struct {
		name  string
		spoil func(w *world)
		want  error // nil: any
		says  string
	}{
		{"unsigned", func(w *world) {
			w.set("dists/stable/InRelease", []byte("Origin: Test\n"))
		}, ErrSignature, "not a signed message"},
		{"signed by another key", func(w *world) {
			w.publish(suite{key: other}, "a 2")
		}, ErrSignature, fmt.Sprintf("%016X", other.PrimaryKey.KeyId)},
		{"signed text changed", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("InRelease", func(b []byte) []byte { return bytes.Replace(b, []byte("Suite: stable"), []byte("Suite: stabIe"), 1) })
		}, ErrSignature, "signature"},
		{"text before the signed", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("InRelease", func(b []byte) []byte { return append([]byte("Suite: other\n"), b...) })
		}, ErrSignature, "not a signed message"},
		{"text behind the signed", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("InRelease", func(b []byte) []byte { return append(b, "Suite: other\n"...) })
		}, ErrSignature, "behind the signed"},
		{"release cut off", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("InRelease", func(b []byte) []byte { return b[:len(b)-200] })
		}, ErrSignature, "cut off"},
		{"release too large", func(w *world) {
			w.change("InRelease", func(b []byte) []byte { return append(b, make([]byte, maxRelease)...) })
		}, ErrTooLarge, "InRelease"},
		{"older than before", func(w *world) {
			w.later(-2 * day)
			w.publish(suite{}, "a 2")
			w.later(2 * day)
		}, ErrRollback, "old files"},
		{"expired", func(w *world) {
			w.publish(suite{fields: map[string]string{"Valid-Until": w.now.Add(-time.Minute).Format("Mon, 02 Jan 2006 15:04:05 UTC")}}, "a 2")
		}, ErrExpired, "no longer updated"},
		{"from the future", func(w *world) {
			w.publish(suite{edit: func(s string) string { return strings.Replace(s, " Nov 2026", " Dec 2026", 1) }}, "a 2")
		}, nil, "clock"},
		{"without a date", func(w *world) {
			w.publish(suite{edit: func(s string) string { return strings.Replace(s, "Date:", "Dat:", 1) }}, "a 2")
		}, ErrMalformed, "Date"},
		{"without hashes", func(w *world) {
			w.publish(suite{edit: func(s string) string { return s[:strings.Index(s, "SHA1")] }}, "a 2")
		}, ErrMalformed, "SHA256"},
		{"index changed", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("Packages.gz", flip)
			w.change("by-hash", flip)
		}, ErrMismatch, "SHA-256"},
		{"index cut off", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("by-hash", func(b []byte) []byte { return b[:len(b)-1] })
		}, ErrMismatch, "bytes of"},
		{"index longer", func(w *world) {
			w.publish(suite{}, "a 2")
			w.change("by-hash", func(b []byte) []byte { return append(b, 'x') })
		}, ErrMismatch, "more than"},
		{"index too large", func(w *world) {
			w.publish(suite{packs: func(b []byte) []byte { return append(b, "\nPackage: x\nVersion: 1\nNoise: "+noise()+"\n"...) }}, "a 2")
		}, ErrTooLarge, "Packages"},
		{"index that unpacks to more than the limit", func(w *world) {
			w.publish(suite{formats: []string{".gz"}, packs: func(b []byte) []byte {
				return append(b, "\nPackage: x\nVersion: 1\nZeros: "+strings.Repeat("0", 200_000)+"\n"...)
			}}, "a 2")
		}, ErrTooLarge, "Packages.gz"},
		{"index that unpacks to more than the release says", func(w *world) {
			w.publish(suite{edit: func(s string) string { return smallerPlain(s) }}, "a 2")
		}, ErrTooLarge, "Packages.gz"},
		{"index malformed", func(w *world) {
			w.publish(suite{packs: func([]byte) []byte { return []byte("no stanza\n") }}, "a 2")
		}, ErrMalformed, "Packages"},
		{"index missing", func(w *world) {
			w.publish(suite{}, "a 2")
			w.mu.Lock()
			defer w.mu.Unlock()
			for name := range w.files {
				if strings.Contains(name, "Packages") || strings.Contains(name, "by-hash") {
					delete(w.files, name)
				}
			}
		}, nil, "404"},
		{"component gone", func(w *world) {
			w.publish(suite{edit: func(s string) string { return strings.ReplaceAll(s, "main/binary", "other/binary") }}, "a 2")
		}, nil, "/etc/apt/sources.list"},
		{"server gone", func(w *world) {
			w.mu.Lock()
			defer w.mu.Unlock()
			clear(w.files)
		}, nil, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish(suite{}, "a 1")
			dir := t.TempDir()
			small := func(c *Config) { c.MaxBytes = 100_000 }
			d := w.watcher(dir, small)
			good := state(t, d, w.repo())
			w.later(time.Hour)
			c.spoil(w)
			for name, d := range map[string]*Watcher{"same process": d, "after a restart": w.watcher(dir, small)} {
				ix, err := d.State(t.Context(), w.repo())
				if err != nil {
					t.Fatalf("%s: what was known is gone: %v", name, err)
				}
				if ix.Hash != good.Hash || !ix.Date.Equal(good.Date) {
					t.Errorf("%s: the spoiled state was taken over", name)
				}
				has(t, ix, "a", "1")
				if ix.Stale == nil || c.want != nil && !errors.Is(ix.Stale, c.want) {
					t.Fatalf("%s: stale %v, want %v", name, ix.Stale, c.want)
				}
				for _, says := range []string{c.says, w.uri + " stable main"} {
					if !strings.Contains(ix.Stale.Error(), says) {
						t.Errorf("%s: error does not say %q: %v", name, says, ix.Stale)
					}
				}
			}
			// A newcomer, who has nothing to fall back on, gets the error itself, but for what only memory can tell.
			if _, err := w.watcher(t.TempDir(), small).State(t.Context(), w.repo()); err == nil && c.want != ErrRollback {
				t.Error("a newcomer believed it")
			}
			// And the next good state heals.
			w.later(time.Hour)
			w.publish(suite{}, "a 3")
			has(t, state(t, d, w.repo()), "a", "3")
		})
	}
}

func TestDecompress(t *testing.T) {
	for _, name := range []string{"Packages", "Packages.gz", "Packages.xz"} {
		body := compressed(t, filepath.Ext(name), []byte("0123456789"))
		for limit, want := range map[int64]error{10: nil, 9: ErrTooLarge} {
			r, err := decompress(name, bytes.NewReader(body), limit)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); !errors.Is(err, want) || err == nil && string(got) != "0123456789" {
				t.Errorf("%s, limit %d: %q, %v", name, limit, got, err)
			}
		}
		if _, err := decompress(name, strings.NewReader("not compressed"), 10); name != "Packages" && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

// noise does not compress to less than the tests' limit.
func noise() string {
	var b strings.Builder
	x := uint32(1)
	for b.Len() < 300_000 {
		x = x*1664525 + 1013904223
		b.WriteByte('!' + byte(x>>24)%90)
	}
	return b.String()
}

// smallerPlain makes the release say that Packages, decompressed, has ten bytes.
func smallerPlain(s string) string {
	lines := strings.SplitAfter(s, "\n")
	for i, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && strings.HasSuffix(f[2], "/Packages") {
			lines[i] = fmt.Sprintf(" %s 10 %s\n", f[0], f[2])
		}
	}
	return strings.Join(lines, "")
}

func TestValidUntilPassesWithoutAChange(t *testing.T) {
	w := newWorld(t)
	until := w.now.Add(7 * 24 * time.Hour)
	w.publish(suite{fields: map[string]string{"Valid-Until": until.Format("Mon, 02 Jan 2006 15:04:05 UTC")}}, "a 1")
	d := w.watcher(t.TempDir())
	if ix := state(t, d, w.repo()); !ix.ValidUntil.Equal(until) {
		t.Errorf("valid until %s, want %s", ix.ValidUntil, until)
	}
	w.later(8 * 24 * time.Hour)
	ix, err := d.State(t.Context(), w.repo())
	if err != nil || !errors.Is(ix.Stale, ErrExpired) {
		t.Errorf("got %v, %v", ix, err)
	}
	has(t, ix, "a", "1")
}

func TestForms(t *testing.T) {
	for _, c := range []struct {
		name string
		s    suite
		gone string
		want string
	}{
		{"gzip first", suite{}, "", "200 dists/stable/main/binary-amd64/by-hash"},
		{"only xz", suite{formats: []string{".xz"}}, "", "200 dists/stable/main/binary-amd64/by-hash"},
		{"only plain", suite{formats: []string{""}}, "", "200 dists/stable/main/binary-amd64/by-hash"},
		{"no by-hash", suite{noHash: true}, "", "200 dists/stable/main/binary-amd64/Packages.gz"},
		{"by-hash promised, not there", suite{}, "by-hash", "404 dists/stable/main/binary-amd64/by-hash, 200 dists/stable/main/binary-amd64/Packages.gz"},
		{"gzip listed, not there", suite{noHash: true}, "Packages.gz", "404 dists/stable/main/binary-amd64/Packages.gz, 200 dists/stable/main/binary-amd64/Packages.xz"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish(c.s, "a 1", "b 2")
			for name := range w.files {
				if c.gone != "" && strings.Contains(name, c.gone) {
					delete(w.files, name)
				}
			}
			ix := state(t, w.watcher(t.TempDir()), w.repo())
			has(t, ix, "a", "1")
			has(t, ix, "b", "2")
			if got := w.seen(); got != "200 dists/stable/InRelease, "+c.want {
				t.Errorf("requests: %s, want %s", got, c.want)
			}
		})
	}
}

func TestFlatRepository(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{name: "corp/", flat: true}, "a 1")
	r := w.repo()
	r.Suite, r.Components = "corp/", nil
	d := w.watcher(t.TempDir())
	ix := state(t, d, r)
	has(t, ix, "a", "1")
	inv := imageOf([]inventory.Repository{r}, "a 0.9")
	if p := Patches(inv, []*Index{ix}); len(p) != 1 || p[0].Repository != w.uri+" corp/" {
		t.Errorf("patches %+v", p)
	}
}

func TestArchitectureAllOfItsOwn(t *testing.T) {
	for fields, want := range map[string]string{"": "2", "Packages": ""} {
		w := newWorld(t)
		packages := []byte("Package: all\nVersion: 2\nArchitecture: all\n")
		s := suite{fields: map[string]string{"Architectures": "all amd64"}, edit: func(s string) string {
			const head = "SHA256:\n"
			line := fmt.Sprintf(" %s %d main/binary-all/Packages\n", hashLines([]string{string(packages)})[7:], len(packages))
			return strings.Replace(s, head, head+line, 1)
		}}
		if fields != "" {
			s.fields["No-Support-for-Architecture-all"] = fields
		}
		w.set("dists/stable/main/binary-all/Packages", nil)
		w.publish(s, "a 1")
		w.set("dists/stable/main/binary-all/Packages", packages)
		ix := state(t, w.watcher(t.TempDir()), w.repo())
		has(t, ix, "a", "1")
		has(t, ix, "all", want)
	}
}

func TestOnlyWantedPackagesAreKept(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1", "b 1")
	d := w.watcher(t.TempDir())
	d.Want("a")
	ix := state(t, d, w.repo())
	has(t, ix, "a", "1")
	has(t, ix, "b", "")
	w.seen()
	d.Want("a")
	if again := state(t, d, w.repo()); len(again.packages) != 1 {
		t.Error("kept more than was wanted")
	}
	d.Want("b")
	has(t, state(t, d, w.repo()), "b", "1")
	if got, want := w.seen(), "304 dists/stable/InRelease, 304 dists/stable/InRelease"; got != want {
		t.Errorf("requests: %s, want %s: what is on disk is read again, not fetched", got, want)
	}
	d.Want("c")
	w.mu.Lock()
	clear(w.files)
	w.mu.Unlock()
	ix, err := d.State(t.Context(), w.repo())
	if err != nil || ix.Stale == nil {
		t.Fatalf("got %v, %v", ix, err)
	}
	has(t, ix, "a", "1")
}

func TestARoundAsksEachRepositoryOnce(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 2")
	w.publish(suite{name: "other"}, "b 2")
	stable, other := w.repo(), w.repo()
	other.Suite = "other"
	same := stable
	same.URI, same.Where = stable.URI+"/", "/etc/apt/sources.list.d/x.list"
	one := imageOf([]inventory.Repository{stable, same}, "a 1")
	two := imageOf([]inventory.Repository{stable, other}, "a 1", "b 1")
	missing := stable
	missing.Suite = "missing"
	three := imageOf([]inventory.Repository{stable, missing}, "a 1")
	d := w.watcher(t.TempDir())
	s, err := d.Round(t.Context(), one, two, three)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.seen(), "InRelease"); n != 3 {
		t.Errorf("%d requests for release files, want one for each of 3 suites", n)
	}
	for i, c := range []struct {
		inv              *inventory.Inventory
		indexes, patches int
		errs             int
	}{{one, 1, 1, 0}, {two, 2, 2, 0}, {three, 1, 1, 1}} {
		if ix, p, errs := s.Indexes(c.inv), s.Patches(c.inv), s.Errors(c.inv); len(ix) != c.indexes || len(p) != c.patches || len(errs) != c.errs {
			t.Errorf("image %d: %d indexes, %d patches, errors %v", i+1, len(ix), len(p), errs)
		}
	}
	if s.StateHash(one) == s.StateHash(two) || s.StateHash(one) != s.StateHash(three) {
		t.Error("the state hash is not that of the image's repositories")
	}
}

func TestStateHash(t *testing.T) {
	a := &Index{Repository: inventory.Repository{URI: "http://a", Suite: "s"}, Hash: "1"}
	b := &Index{Repository: inventory.Repository{URI: "http://b", Suite: "s"}, Hash: "1"}
	changed := *b
	changed.Hash = "2"
	if StateHash([]*Index{a, b}) != StateHash([]*Index{b, a, a}) {
		t.Error("order or repetition matter")
	}
	listed := &Index{Repository: inventory.Repository{Mirrors: "http://a/list"}, Hash: "1"} // of rpm: no address of its own
	other := &Index{Repository: inventory.Repository{Mirrors: "http://b/list"}, Hash: "1"}
	seen := map[string]bool{}
	for _, set := range [][]*Index{nil, {a}, {b}, {a, b}, {a, &changed}, {listed}, {other}, {listed, other}} {
		seen[StateHash(set)] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d hashes for 8 states", len(seen))
	}
}

func TestKeyOf(t *testing.T) {
	with := func(kind, where string, arches ...string) string {
		return keyOf(inventory.Repository{Type: kind, URI: "http://a/", Architectures: arches, Where: where})
	}
	if with(inventory.Deb, "x", "amd64", "i386") != with(inventory.Deb, "y", "i386", "amd64") {
		t.Error("the order of deb's architectures, or the file, matters")
	}
	if with(inventory.APK, "x", "x86_64", "x86") == with(inventory.APK, "x", "x86", "x86_64") {
		t.Error("two images with different first architectures share one apk index")
	}
}

// After a restart the first to ask may want few packages: those that are not read then are no newer for it later.
func TestDatesOutliveARestart(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1", "b 1")
	dir := t.TempDir()
	first := w.watcher(dir)
	first.Want("a", "b")
	state(t, first, w.repo())
	before := w.now
	w.later(time.Hour)
	w.publish(suite{}, "a 2", "b 1")
	second := w.watcher(dir)
	second.Want("a")
	state(t, second, w.repo())
	second.Want("b")
	ix := state(t, second, w.repo())
	if at := time.UnixMilli(ix.packages["b"][0].published); at.After(before) {
		t.Errorf("b 1 is of %v, want of %v at the latest", at, before)
	}
	if at := time.UnixMilli(ix.packages["a"][0].published); !at.After(before) {
		t.Errorf("a 2 is of %v, want later than %v", at, before)
	}
}

// What was seen is not forgotten with the file that has it.
func TestRollbackWhileTheDirectoryIsDamaged(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	old := w.get("dists/stable/InRelease")
	w.later(time.Hour)
	w.publish(suite{}, "a 2")
	dir := t.TempDir()
	d := w.watcher(dir)
	state(t, d, w.repo())
	heads, _ := filepath.Glob(filepath.Join(dir, "*", "*.head"))
	if len(heads) != 1 || os.Remove(heads[0]) != nil {
		t.Fatalf("heads %v", heads)
	}
	d.Want("a", "b") // it is read again
	if ix, err := d.State(t.Context(), w.repo()); err != nil || ix.Stale == nil {
		t.Fatalf("got %v, %v: want to be told that the head is gone", ix, err)
	}
	w.set("dists/stable/InRelease", old)
	ix, err := d.State(t.Context(), w.repo())
	if err != nil || !errors.Is(ix.Stale, ErrRollback) {
		t.Errorf("stale %v, %v; want %v", ix.Stale, err, ErrRollback)
	}
	has(t, ix, "a", "2")
}

// What no image uses any more is removed, from memory and disk.
func TestRepositoriesThatNobodyAsksForAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	dir := t.TempDir()
	d := w.watcher(dir)
	used, left := w.repo(), w.repo()
	left.Architectures = []string{"amd64", "i386"}
	round := func(repos ...inventory.Repository) *Snapshot {
		s, err := d.Round(t.Context(), imageOf(repos, "a 1"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	round(used, left)
	w.write(filepath.Join(dir, "of others", "file"), nil)
	if err := os.Chtimes(filepath.Join(dir, "of others"), time.Time{}, w.now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.later(keepFor / 2)
		round(used)
	}
	dirs, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(dirs) != 2 || filepath.Base(dirs[0]) != keyOf(used) || filepath.Base(dirs[1]) != "of others" || len(d.entries) != 1 {
		t.Errorf("%v, %v, %d in memory: want %s, and what is not ours", dirs, err, len(d.entries), keyOf(used))
	}
	for _, ix := range round(used, left).Indexes(imageOf([]inventory.Repository{left})) {
		has(t, ix, "a", "1")
	}
}

func TestAnImageOfTooManyRepositories(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	d := w.watcher(t.TempDir())
	repos := make([]inventory.Repository, maxRepositories)
	for i := range repos {
		repos[i] = inventory.Repository{Type: inventory.Deb, URI: fmt.Sprintf("ftp://%d", i), Suite: "s/"}
	}
	many, one := imageOf(append(repos, w.repo()), "a 0"), imageOf([]inventory.Repository{w.repo()}, "a 0")
	s, err := d.Round(t.Context(), many)
	if err != nil {
		t.Fatal(err)
	}
	if errs := s.Errors(many); len(errs) != maxRepositories+1 || !errors.Is(errs[maxRepositories], ErrTooLarge) || w.seen() != "" {
		t.Errorf("%d errors, the last %v", len(errs), errs[len(errs)-1])
	}
	if s, err = d.Round(t.Context(), many, one); err != nil || len(s.Errors(one)) > 0 || len(s.Patches(one)) != 1 {
		t.Errorf("another image with one of them: %v, %v", s.Errors(one), err)
	}
	if s, err = d.Round(t.Context()); err != nil || len(s.Errors(one)) != 1 {
		t.Errorf("an image that was not asked for has the errors %v, %v", s.Errors(one), err)
	}
}

func TestTooLargeAsAWhole(t *testing.T) {
	sized := func(sizes ...int64) (all []part) {
		for _, n := range sizes {
			all = append(all, part{forms: []indexFile{{size: 1}, {size: n}, {size: -1}}})
		}
		return all
	}
	for _, c := range []struct {
		parts []part
		want  error
	}{
		{sized(60, 40), nil}, {sized(60, 41), ErrTooLarge}, {sized(101), ErrTooLarge},
		{make([]part, maxParts), nil}, {make([]part, maxParts+1), ErrTooLarge},
	} {
		if err := checkParts(c.parts, 100); !errors.Is(err, c.want) {
			t.Errorf("%d parts: %v, want %v", len(c.parts), err, c.want)
		}
	}
	packages, left := map[string][]offer{}, 2
	add := adder(packages, &left)
	for range 3 {
		add("a", offer{})
	}
	if left >= 0 || len(packages["a"]) != 2 {
		t.Errorf("%d left, %d kept", left, len(packages["a"]))
	}
}

func TestConcurrentCallersShareAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	d := w.watcher(t.TempDir(), func(c *Config) { c.MaxAge = time.Minute })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if ix, err := d.State(t.Context(), w.repo()); err != nil || len(ix.Versions("a")) != 1 {
				t.Errorf("got %v, %v", ix, err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(w.seen(), "InRelease"); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	w.later(2 * time.Minute)
	state(t, d, w.repo())
	if got := w.seen(); got != "304 dists/stable/InRelease" {
		t.Errorf("after MaxAge: %s", got)
	}
}

// The same repository with other keys is another matter: one image's trust is not another's.
func TestKeysAreNotShared(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	d := w.watcher(t.TempDir())
	state(t, d, w.repo())
	for name, keys := range map[string][][]byte{"none": nil, "another": {public(t, newKey(t, "x"))}, "garbage": {[]byte("x")}} {
		r := w.repo()
		r.Keys = keys
		if _, err := d.State(t.Context(), r); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// While a distribution changes its keys, its files carry signatures of which an image can check but one.
func TestSeveralSignatures(t *testing.T) {
	w := newWorld(t)
	old := newKey(t, "old")
	var expired uint32 = 3600
	for _, id := range old.Identities {
		id.SelfSignature.KeyLifetimeSecs = &expired
		if err := id.SelfSignature.SignUserId(id.UserId.Id, old.PrimaryKey, old.PrivateKey, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.publish(suite{}, "a 1")
	plain, err := verify(w.get("dists/stable/InRelease"), w.repo().Keys, w.now)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newKey(t, "stranger")
	for name, c := range map[string]struct {
		signers []*openpgp.Entity
		good    bool
	}{
		"known last": {[]*openpgp.Entity{stranger, old, w.key}, true}, "known first": {[]*openpgp.Entity{w.key, stranger}, true},
		"only an expired one": {[]*openpgp.Entity{old}, false}, "only a stranger": {[]*openpgp.Entity{stranger}, false},
	} {
		raw := sign(t, plain, w.now, c.signers...)
		_, err := verify(raw, [][]byte{public(t, old), public(t, w.key)}, w.now)
		if (err == nil) != c.good || err != nil && !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDamagedCacheIsReadAnew(t *testing.T) {
	for _, match := range []string{"state.json", ".gz"} {
		for name, damage := range map[string]func(string) error{
			"removed": os.Remove,
			"cut off": func(at string) error { return os.Truncate(at, 10) },
			"forged":  func(at string) error { return os.WriteFile(at, []byte(`{"in_release":"Zm9yZ2Vk"}`), 0o600) },
		} {
			t.Run(match+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.publish(suite{}, "a 1")
				dir := t.TempDir()
				state(t, w.watcher(dir), w.repo())
				n := 0
				err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
					if err == nil && strings.HasSuffix(p, match) {
						n++
						err = damage(p)
					}
					return err
				})
				if err != nil || n != 1 {
					t.Fatalf("%d files damaged, %v", n, err)
				}
				has(t, state(t, w.watcher(dir), w.repo()), "a", "1")
			})
		}
	}
}

func TestOldIndexesAreRemoved(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	d := w.watcher(dir)
	for i := range 3 {
		w.later(time.Hour)
		w.publish(suite{}, pkg(fmt.Sprint("a ", i)))
		state(t, d, w.repo())
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v: want state.json, one head and one index", files, err)
	}
}

func TestRepositoriesThatCannotBeWatched(t *testing.T) {
	w := newWorld(t)
	d := w.watcher(t.TempDir())
	for uri, want := range map[string]string{
		"file:/srv/debian": "only http and https", "mirror+http://h/list": "only http and https", "http://[bad": "sources.list",
	} {
		r := w.repo()
		r.URI = uri
		if _, err := d.State(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
	}
	secret := w.repo()
	secret.URI = "http://user:hunter2@127.0.0.1:1/debian"
	if _, err := d.State(t.Context(), secret); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password in an error: %v", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no directory was taken")
	}
}

func TestStateEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.publish(suite{}, "a 1")
	ctx, cancel := context.WithCancel(t.Context())
	stuck := w.watcher(t.TempDir(), func(c *Config) {
		c.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			cancel()
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
	})
	if _, err := stuck.State(ctx, w.repo()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := stuck.Round(ctx, imageOf([]inventory.Repository{w.repo()}, "a 1")); !errors.Is(err, context.Canceled) {
		t.Errorf("round: got %v", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whatever a signed release holds, reading it ends without a panic, and what it lists can be fetched safely.
func FuzzParseRelease(f *testing.F) {
	sum := strings.Repeat("0", 64)
	f.Add("Date: Sat, 21 Nov 2026 10:00:00 UTC\nSHA256:\n " + sum + " 10 main/binary-amd64/Packages.gz\n")
	f.Add("Date: Sat, 1 Nov 2026 10:00:00 +0100\nValid-Until: x\nSHA256: " + sum + " -1 ../Packages\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRelease([]byte(text))
		if err != nil {
			return
		}
		for name, file := range r.files {
			if len(file.sum) != 64 || strings.Trim(file.sum, "0123456789abcdef") != "" || file.size < 0 || file.name != name {
				t.Errorf("listed: %+v", file)
			}
		}
	})
}
