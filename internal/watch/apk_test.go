package watch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/inventory"
)

func TestAPKUnchangedIsOneRequestWithoutABody(t *testing.T) {
	h := newAPKHost(t)
	h.publish(mainIndex, "a 1.0-r0", "b 1.0_rc1-r0 noarch")
	dir := t.TempDir()
	d := h.watcher(dir)
	first := state(t, d, h.repo("main"))
	has(t, first, "a", "1.0-r0")
	has(t, first, "b", "1.0_rc1-r0")
	if got, want := h.seen(), fmt.Sprintf("200 %s %d", mainIndex, len(h.files[mainIndex])); got != want {
		t.Errorf("first: %s, want %s", got, want)
	}
	if !first.Date.Equal(h.now) || first.Name() != h.uri+"/main" {
		t.Errorf("%s is of %s", first.Name(), first.Date)
	}
	for _, again := range []*Watcher{d, h.watcher(dir)} { // and after a restart
		second := state(t, again, h.repo("main"))
		if got, want := h.seen(), "304 "+mainIndex+" 0"; got != want {
			t.Errorf("unchanged: %s, want %s", got, want)
		}
		if second.Hash != first.Hash || !second.Date.Equal(first.Date) {
			t.Errorf("unchanged: hash %s of %s, was %s of %s", second.Hash, second.Date, first.Hash, first.Date)
		}
		has(t, second, "a", "1.0-r0")
	}
}

func TestAPKNewVersionIsSeen(t *testing.T) {
	h := newAPKHost(t)
	h.publish(mainIndex, "a 1.0-r0", "b 1.0-r0")
	d := h.watcher(t.TempDir())
	inv := apkImage([]inventory.Repository{h.repo("main")}, nil, "a 1.0-r0", "b 1.0-r0", "c 1.0-r0")
	before := state(t, d, h.repo("main"))
	if p := Patches(inv, []*Index{before}); len(p) != 0 {
		t.Fatalf("patches before: %+v", p)
	}
	h.later(time.Hour)
	archive := apkArchive(t, h.now, "a 1.0-r0", "b 1.0-r1 x86_64 bsource")
	h.set(mainIndex, h.signed(archive))
	noticed := h.now
	after := state(t, d, h.repo("main"))
	if before.Hash == after.Hash {
		t.Error("the hash did not change")
	}
	want := Patch{Type: inventory.APK, Package: "b", Architecture: "x86_64", Source: "bsource", From: "1.0-r0", To: "1.0-r1",
		Repository: h.uri + "/main", PublishedAt: noticed.UnixMilli()}
	if p := Patches(inv, []*Index{after}); len(p) != 1 || p[0] != want {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	// Signed anew by another key, and packed differently, it is the same.
	h.later(24 * time.Hour)
	other := newAPKKey(t, "other")
	repo := h.repo("main")
	repo.Keys, repo.KeyNames = append(repo.Keys, other.public), append(repo.KeyNames, other.name)
	h.set(mainIndex, apkSigned(t, tarGz(t, true, tarEntry{"APKINDEX", unpackedAPK(t, archive)}), "RSA", other))
	again := state(t, d, repo)
	if again.Hash != after.Hash {
		t.Errorf("signed anew: hash %s, was %s", again.Hash, after.Hash)
	}
}

// unpackedAPK is the plain text of an index.
func unpackedAPK(t testing.TB, archive []byte) []byte {
	t.Helper()
	var plain bytes.Buffer
	ix := &apkIndex{signed: archive}
	if err := ix.each(1<<30, &plain, func(inventory.APKRecord) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return plain.Bytes()
}

// Each case spoils the second state of a repository; the first one must be kept, and nobody else suffer.
func TestAPKRefused(t *testing.T) {
	other := newAPKKey(t, "other")
	zeros := strings.Repeat("\x00", 8<<20)
	for _, c := range []struct {
		name  string
		spoil func(h *apkHost)
		want  error // nil: any
		says  string
	}{
		{"unsigned", func(h *apkHost) { h.set(mainIndex, apkArchive(h.t, h.now, "a 2-r0")) }, ErrSignature, "it is not signed"},
		{"signed by a key that the image has not", func(h *apkHost) {
			h.set(mainIndex, apkSigned(h.t, apkArchive(h.t, h.now, "a 2-r0"), "RSA256", other))
		}, ErrSignature, `it is signed by "other.rsa.pub", which is none of the image's 1 keys (builder@example.com-1.rsa.pub)`},
		{"signed by another key of that name", func(h *apkHost) {
			h.set(mainIndex, apkSigned(h.t, apkArchive(h.t, h.now, "a 2-r0"), "RSA256", apkKey{h.key.name, other.private, nil}))
		}, ErrSignature, `key "builder@example.com-1.rsa.pub"`},
		{"signed with an algorithm that is not known", func(h *apkHost) {
			h.set(mainIndex, append(tarGz(h.t, false, tarEntry{".SIGN.DSA." + h.key.name, []byte("x")}), apkArchive(h.t, h.now, "a 2-r0")...))
		}, ErrSignature, `a signature of kind "DSA"`},
		{"another algorithm than it says", func(h *apkHost) {
			archive := apkArchive(h.t, h.now, "a 2-r0")
			signed := apkSigned(h.t, archive, "RSA", h.key)
			found, _, err := splitAPK(signed)
			if err != nil {
				h.t.Fatal(err)
			}
			h.set(mainIndex, append(tarGz(h.t, false, tarEntry{".SIGN.RSA256." + h.key.name, found[0].data}), archive...))
		}, ErrSignature, "verify"},
		{"the signature of another index", func(h *apkHost) {
			found, _, err := splitAPK(h.files[mainIndex])
			if err != nil {
				h.t.Fatal(err)
			}
			h.set(mainIndex, append(tarGz(h.t, false, tarEntry{".SIGN.RSA256." + h.key.name, found[0].data}), apkArchive(h.t, h.now, "a 2-r0")...))
		}, ErrSignature, "verify"},
		{"something behind what is signed", func(h *apkHost) {
			h.set(mainIndex, append(h.signed(apkArchive(h.t, h.now, "a 2-r0")), tarGz(h.t, true, tarEntry{"APKINDEX", []byte("P:a\nV:3-r0\n\n")})...))
		}, ErrSignature, "verify"},
		{"a package among the signatures", func(h *apkHost) {
			h.set(mainIndex, append(tarGz(h.t, false, tarEntry{".SIGN.RSA256." + h.key.name, []byte("x")}, tarEntry{"APKINDEX", []byte("P:a\nV:3-r0\n\n")}), apkArchive(h.t, h.now, "a 2-r0")...))
		}, ErrMalformed, `"APKINDEX" among its signatures`},
		{"cut off", func(h *apkHost) {
			b := h.signed(apkArchive(h.t, h.now, "a 2-r0"))
			h.set(mainIndex, b[:len(b)-20])
		}, ErrSignature, "verify"},
		{"cut off before it was signed", func(h *apkHost) {
			b := apkArchive(h.t, h.now, "a 2-r0")
			h.set(mainIndex, h.signed(b[:len(b)-20]))
		}, ErrMalformed, "unexpected EOF"},
		{"cut off in the signature", func(h *apkHost) { h.set(mainIndex, h.signed(nil)[:100]) }, ErrMalformed, "unexpected EOF"},
		{"a page of a portal", func(h *apkHost) { h.set(mainIndex, []byte("<html>Log in</html>")) }, ErrMalformed, "it is no index, or cut off"},
		{"empty", func(h *apkHost) { h.set(mainIndex, []byte{}) }, ErrMalformed, "it is no index, or cut off"},
		{"malformed, and signed", func(h *apkHost) { h.set(mainIndex, h.signed(apkText(h.t, "APKINDEX", "P:a\nnonsense\n"))) }, ErrMalformed, "line 2: a letter and a colon expected"},
		{"no index in it", func(h *apkHost) { h.set(mainIndex, h.signed(apkText(h.t, "DESCRIPTION", "x"))) }, ErrMalformed, "there is no APKINDEX in it"},
		{"two indexes in it", func(h *apkHost) { h.set(mainIndex, h.signed(apkText(h.t, "APKINDEX", "", "APKINDEX", ""))) }, ErrMalformed, "there are two APKINDEX in it"},
		{"a bomb", func(h *apkHost) { h.set(mainIndex, h.signed(apkText(h.t, "APKINDEX", "P:a\nV:2-r0\nT:"+zeros))) }, ErrTooLarge, "decompressed: too large"},
		{"a bomb beside it", func(h *apkHost) { h.set(mainIndex, h.signed(apkText(h.t, "APKINDEX", "", "DESCRIPTION", zeros))) }, ErrTooLarge, "decompressed: too large"},
		{"a bomb before it is verified", func(h *apkHost) {
			h.set(mainIndex, tarGz(h.t, false, tarEntry{".SIGN.RSA256.x", []byte("x")}, tarEntry{".SIGN.RSA256.y", []byte(zeros)}))
		}, ErrMalformed, `".SIGN.RSA256.y" among its signatures`},
		{"zeros before it is verified", func(h *apkHost) {
			h.set(mainIndex, gzipOf(h.t, plainOf(h.t, tarGz(h.t, true, tarEntry{".SIGN.RSA256.x", []byte("x")})), []byte(zeros)))
		}, ErrTooLarge, "signatures: too large"},
		{"signatures without end", func(h *apkHost) {
			h.set(mainIndex, bytes.Repeat(tarGz(h.t, false, tarEntry{".SIGN.RSA256.x", []byte("x")}), 40))
		}, ErrTooLarge, "more than 32 signatures"},
		{"too large as it is fetched", func(h *apkHost) { h.set(mainIndex, bytes.Repeat([]byte{1}, 5<<20)) }, ErrTooLarge, "too large"},
		{"older", func(h *apkHost) {
			h.set(mainIndex, h.signed(apkArchive(h.t, h.now.Add(-48*time.Hour), "a 0.9-r9", "b 1-r0")))
		}, ErrRollback, "it has a 0.9-r9, and had 1-r0"},
		{"of the future", func(h *apkHost) { h.set(mainIndex, h.signed(apkArchive(h.t, h.now.Add(48*time.Hour), "a 2-r0"))) }, ErrMalformed, "in the future"},
		{"gone", func(h *apkHost) { delete(h.files, mainIndex) }, nil, "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newAPKHost(t)
			h.publish(mainIndex, "a 1-r0", "b 1-r0")
			h.publish(edgeIndex, "a 1-r0")
			dir := t.TempDir()
			limit := func(c *Config) { c.MaxBytes = 4 << 20 }
			d := h.watcher(dir, limit)
			first := state(t, d, h.repo("main"))
			state(t, d, h.repo("edge"))
			h.later(time.Hour)
			c.spoil(h)
			h.publish(edgeIndex, "a 2-r0")
			for _, again := range []*Watcher{d, h.watcher(dir, limit)} { // and after a restart
				ix, err := again.State(t.Context(), h.repo("main"))
				if err != nil {
					t.Fatalf("the old state is lost: %v", err)
				}
				if ix.Stale == nil || c.want != nil && !errors.Is(ix.Stale, c.want) || !strings.Contains(ix.Stale.Error(), c.says) {
					t.Errorf("got %v, want %v: %s", ix.Stale, c.want, c.says)
				}
				if ix.Stale != nil && !strings.Contains(ix.Stale.Error(), h.uri+"/main") {
					t.Errorf("the repository is not named: %v", ix.Stale)
				}
				has(t, ix, "a", "1-r0")
				if ix.Hash != first.Hash {
					t.Error("the hash changed")
				}
				has(t, state(t, again, h.repo("edge")), "a", "2-r0")
			}
			h.publish(mainIndex, "a 3-r0", "b 1-r0") // it mends itself
			has(t, state(t, d, h.repo("main")), "a", "3-r0")
		})
	}
}

func gzipOf(t testing.TB, plain ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(slices.Concat(plain...)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plainOf is what an archive was packed from.
func plainOf(t testing.TB, archive []byte) []byte {
	t.Helper()
	r, err := decompress("x.gz", bytes.NewReader(archive), 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAPKNeverSeenGoodIsAnError(t *testing.T) {
	h := newAPKHost(t)
	h.set(mainIndex, apkArchive(t, h.now, "a 1-r0"))
	if ix, err := h.watcher(t.TempDir()).State(t.Context(), h.repo("main")); !errors.Is(err, ErrSignature) || ix != nil {
		t.Errorf("got %v, %v", ix, err)
	}
	repo := h.repo("main")
	repo.Keys, repo.KeyNames = nil, nil
	h.publish(mainIndex, "a 1-r0")
	if _, err := h.watcher(t.TempDir()).State(t.Context(), repo); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "the image has no key at all") {
		t.Errorf("got %v", err)
	}
}

func TestAPKSeveralSignatures(t *testing.T) {
	old, next := newAPKKey(t, "old"), newAPKKey(t, "next")
	archive := apkArchive(t, time.Now(), "a 1-r0")
	apart := append(tarGz(t, false, tarEntry{".SIGN.RSA512.unknown", []byte("x")}), apkSigned(t, archive, "RSA256", old)...)
	for _, c := range []struct {
		name string
		raw  []byte
		keys []apkKey
		good bool
	}{
		{"both known", apkSigned(t, archive, "RSA256", old, next), []apkKey{old, next}, true},
		{"only the first", apkSigned(t, archive, "RSA256", old, next), []apkKey{old}, true},
		{"only the second", apkSigned(t, archive, "RSA256", old, next), []apkKey{next}, true},
		{"neither", apkSigned(t, archive, "RSA256", old, next), []apkKey{newAPKKey(t, "third")}, false},
		{"in archives of their own", apart, []apkKey{old}, true},
		{"SHA-1, as Alpine still has it", apkSigned(t, archive, "RSA", old), []apkKey{old}, true},
		{"SHA-512", apkSigned(t, archive, "RSA512", old), []apkKey{old}, true},
		{"the first is bad", apkSigned(t, archive, "RSA256", apkKey{old.name, next.private, nil}, next), []apkKey{old, next}, true},
		{"a key in place of another", apkSigned(t, archive, "RSA256", old), []apkKey{{old.name, nil, next.public}, {next.name, nil, old.public}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := inventory.Repository{}
			for _, k := range c.keys {
				repo.Keys, repo.KeyNames = append(repo.Keys, k.public), append(repo.KeyNames, k.name)
			}
			signed, err := verifyAPK(c.raw, repo)
			if c.good && (err != nil || !bytes.Equal(signed, archive)) {
				t.Errorf("not taken: %v", err)
			}
			if !c.good && !errors.Is(err, ErrSignature) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The indexes are those that Alpine and Chainguard published.
func TestAPKRealIndexes(t *testing.T) {
	const keys = "signing/keys/chainguard-"
	chainguard := []string{keys + "0106f58bac88057c2ff5c2829850df492717a876ed700443550353c7ab23f5a0.rsa.pub", keys + "60912bbc46bfc8ed6bda0b50db3a8a5f3c4344d6bc8549ec9b84d96140b475d1.rsa.pub"}
	for _, c := range []struct {
		at      string
		keys    []string
		records int
		want    error
	}{
		{"signing/APKINDEX.tar.gz", chainguard, 16, nil},
		{"signing/APKINDEX.tar.gz", chainguard[1:], 16, nil},
		{"rsa256-signed/APKINDEX.tar.gz", []string{"rsa256-signed/test-rsa256.rsa.pub"}, 1, nil},
		{"rsa256-signed/APKINDEX.tar.gz", chainguard, 0, ErrSignature},
		{"alpine-316/APKINDEX.tar.gz", []string{"alpine-316/alpine-devel@lists.alpinelinux.org-4a6a0840.rsa.pub"}, 0, ErrSignature},
	} {
		repo := inventory.Repository{}
		for _, k := range c.keys {
			repo.Keys, repo.KeyNames = append(repo.Keys, apkoTestdata(t, k)), append(repo.KeyNames, filepath.Base(k))
		}
		signed, err := verifyAPK(apkoTestdata(t, c.at), repo)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.at, err, c.want)
		}
		if err != nil {
			continue
		}
		n := 0
		if err := (&apkIndex{signed: signed}).each(1<<30, io.Discard, func(inventory.APKRecord) error { n++; return nil }); err != nil || n != c.records {
			t.Errorf("%s: %d records, %v; want %d", c.at, n, err, c.records)
		}
	}
}

// What a distribution does on its own is no step back: a package gone, also the one built last; an older version built
// anew. What it did before is one, after a restart too.
func TestAPKRollback(t *testing.T) {
	h := newAPKHost(t)
	day := 24 * time.Hour
	old := func(ago time.Duration, pkgs ...string) []byte { return apkArchive(t, h.now.Add(-ago), pkgs...) }
	ancient := h.signed(old(9*day, "a 0.8-r0", "b 1-r0"))
	h.publish(mainIndex, "a 1-r0", "b 1-r0", "c 1-r0")
	dir := t.TempDir()
	d := h.watcher(dir)
	state(t, d, h.repo("main"))

	h.later(day)
	h.set(mainIndex, h.signed(old(2*day, "a 1-r0", "b 1-r0"))) // c, built last, is gone
	gone := state(t, d, h.repo("main"))
	has(t, gone, "c", "")

	h.later(day)
	h.publish(mainIndex, "a 0.9-r1", "b 1-r0")
	has(t, state(t, d, h.repo("main")), "a", "0.9-r1")

	h.set(mainIndex, ancient)
	for _, again := range []*Watcher{d, h.watcher(dir)} {
		ix, err := again.State(t.Context(), h.repo("main"))
		if err != nil || !errors.Is(ix.Stale, ErrRollback) {
			t.Fatalf("got %v, %v", ix, err)
		}
		has(t, ix, "a", "0.9-r1")
	}
}

// A new version in an index that was changed while the daemon was down is compared with what it had seen.
func TestAPKRollbackWhileDown(t *testing.T) {
	h := newAPKHost(t)
	h.publish(mainIndex, "a 2-r0")
	dir := t.TempDir()
	state(t, h.watcher(dir), h.repo("main"))
	h.set(mainIndex, h.signed(apkArchive(t, h.now.Add(-time.Hour), "a 1-r0")))
	ix, err := h.watcher(dir).State(t.Context(), h.repo("main"))
	if err != nil || !errors.Is(ix.Stale, ErrRollback) {
		t.Fatalf("got %v, %v", ix, err)
	}
	has(t, ix, "a", "2-r0")
}

func TestAPKOnlyWantedPackagesAreKept(t *testing.T) {
	h := newAPKHost(t)
	h.publish(mainIndex, "a 1-r0", "b 1-r0", "c 1-r0")
	d := h.watcher(t.TempDir())
	d.Want("a")
	ix := state(t, d, h.repo("main"))
	has(t, ix, "b", "")
	if len(ix.packages) != 1 {
		t.Errorf("kept: %v", ix.packages)
	}
	h.seen()
	d.Want("b") // is read from disk
	ix = state(t, d, h.repo("main"))
	has(t, ix, "a", "1-r0")
	has(t, ix, "b", "1-r0")
	if got, want := h.seen(), "304 "+mainIndex+" 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPKARoundOfSeveralFamilies(t *testing.T) {
	h, w := newAPKHost(t), newWorld(t)
	w.publish(suite{}, "a 2")
	h.publish(mainIndex, "a 2-r0", "b 1-r0")
	h.publish("main/aarch64/APKINDEX.tar.gz", "a 3-r0 aarch64")
	arm := h.repo("main")
	arm.Architectures = []string{"aarch64"}
	here := apkImage([]inventory.Repository{h.repo("main"), h.repo("main")}, nil, "a 1-r0", "b 1-r0")
	there := apkImage([]inventory.Repository{arm}, nil, "a 1-r0 aarch64")
	debian := imageOf([]inventory.Repository{w.repo()}, "a 1")
	s, err := h.watcher(t.TempDir()).Round(t.Context(), here, there, debian)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		inv  *inventory.Inventory
		want string
	}{"x86_64": {here, "a 2-r0"}, "aarch64": {there, "a 3-r0"}, "debian": {debian, "a 2"}} {
		p := s.Patches(c.inv)
		if len(p) != 1 || p[0].Package+" "+p[0].To != c.want || len(s.Errors(c.inv)) != 0 {
			t.Errorf("%s: %+v, %v", name, p, s.Errors(c.inv))
		}
	}
	if got := strings.Count(h.seen(), mainIndex); got != 1 {
		t.Errorf("the repository that an image names twice was asked %d times", got)
	}
}

func TestAPKRepositoriesThatCannotBeWatched(t *testing.T) {
	for uri, want := range map[string]string{
		"ftp://h/main":                     "/etc/apk/repositories:1: ftp://h/main cannot be watched: only http and https can",
		"https://me:secret@h/Packages.adb": "https://me:xxxxx@h/Packages.adb is an index in the format of apk 3",
		"http://h/\x7f":                    "invalid control character",
	} {
		repo := inventory.Repository{Type: inventory.APK, URI: uri, Architectures: []string{"x86_64"}, Where: "/etc/apk/repositories:1"}
		_, err := newAPKHost(t).watcher(t.TempDir()).State(t.Context(), repo)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %s", uri, err, want)
		}
	}
	direct := inventory.Repository{URI: "http://h/x/APKINDEX.tar.gz?a=b"}
	if u, err := apkIndexURL(direct); err != nil || u.String() != direct.URI {
		t.Errorf("got %v, %v", u, err)
	}
	if _, err := apkIndexURL(inventory.Repository{URI: "http://h/x"}); err == nil {
		t.Error("an index of no architecture")
	}
}

func TestAPKKeepsOneIndexOnDisk(t *testing.T) {
	h := newAPKHost(t)
	dir := t.TempDir()
	d := h.watcher(dir)
	for _, version := range []string{"1-r0", "2-r0", "3-r0"} {
		h.publish(mainIndex, "a "+version)
		state(t, d, h.repo("main"))
	}
	heads := 0
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(p) == ".head" {
			heads++
		}
		return err
	})
	if err != nil || heads != 1 {
		t.Errorf("%d indexes, %v", heads, err)
	}
}

// The daemon keeps of an index what is wanted: reading Alpine's takes no more than it takes.
func BenchmarkAPKIndex(b *testing.B) {
	raw := apkoTestdata(b, "alpine-316/APKINDEX.tar.gz")
	_, signed, err := splitAPK(raw)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		ix := &apkIndex{signed: signed}
		if err := ix.each(1<<30, io.Discard, func(inventory.APKRecord) error { n++; return nil }); err != nil || n < 4000 {
			b.Fatal(n, err)
		}
	}
}

// Whatever a server sends, or makes of an index that is good, nothing that no key of the image signed is taken, and what
// is taken ends where it should.
func FuzzVerifyAPK(f *testing.F) {
	key := newAPKKey(f, "k") // another one in each process: no input can be a good index
	archive := apkArchive(f, time.Unix(1, 0), "a 1-r0")
	good := apkSigned(f, archive, "RSA256", key)
	f.Add(uint16(0), uint16(0), []byte{})                                              // good
	f.Add(uint16(0), uint16(1<<15), []byte("<html>"))                                  // all of it replaced
	f.Add(uint16(1<<15), uint16(0), []byte{1})                                         // something behind it
	f.Add(uint16(0), uint16(0), tarGz(f, false, tarEntry{".SIGN.RSA.k", []byte("x")})) // before it
	f.Add(uint16(0), uint16(300), []byte{})                                            // cut
	repo := inventory.Repository{Keys: [][]byte{key.public}, KeyNames: []string{key.name}}
	f.Fuzz(func(t *testing.T, at, gone uint16, insert []byte) {
		from := min(int(at), len(good))
		to := min(from+int(gone), len(good))
		signed, err := verifyAPK(slices.Concat(good[:from], insert, good[to:]), repo)
		if err == nil && !bytes.Equal(signed, archive) {
			t.Errorf("taken: %q", signed)
		}
		if err != nil && from == to && len(insert) == 0 {
			t.Errorf("a good index is refused: %v", err)
		}
		if err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("an error without a reason: %v", err)
		}
	})
}

// Whatever a signer signed, reading it ends without a panic, within its bound, and with a reason when it is refused.
func FuzzAPKIndex(f *testing.F) {
	f.Add([]byte("P:a\nV:1-r0\nA:x86_64\no:b\nt:1\n\n"), false)
	f.Add([]byte("P:a\n\n"), false)
	f.Add(apkArchive(f, time.Unix(1, 0), "a 1-r0"), true)
	f.Fuzz(func(t *testing.T, data []byte, whole bool) {
		ix := &apkIndex{signed: data}
		if !whole {
			ix.signed = apkText(t, "DESCRIPTION", "x", "APKINDEX", string(data))
		}
		offers := map[string][]offer{}
		err := ix.read(part{}, indexFile{}, nil, 1<<16, func(string) bool { return true }, func(name string, o offer) { offers[name] = append(offers[name], o) })
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("an error without a reason: %v", err)
		}
		for name, all := range offers {
			for _, o := range all {
				if name == "" || o.version == "" || o.source == "" || o.sourceVersion != o.version {
					t.Errorf("incomplete: %q %+v", name, o)
				}
			}
		}
		if err := (apkFamily{}).regressed(offers, offers); err != nil {
			t.Errorf("an index is older than itself: %v", err)
		}
	})
}
