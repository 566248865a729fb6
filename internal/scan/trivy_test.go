package scan_test

import (
	"errors"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.etcd.io/bbolt"

	"rebuilder/internal/inventory"
	"rebuilder/internal/sbom"
	"rebuilder/internal/scan"
)

// Trivy itself, where it is installed, finds in our bill of materials what is by source package, with epochs, and in a
// distribution that it calls by another name.
func TestTrivyItself(t *testing.T) {
	if _, err := exec.LookPath("trivy"); err != nil {
		t.Skip("trivy is not installed: its answers are recorded in testdata")
	}
	db := databaseDir(t)
	advise(t, db, map[string]string{
		"debian 12/lvm2/CVE-2099-0001":    "2.03.16-3",
		"debian 12/lvm2/CVE-2099-0002":    "2.03.16-2", // has it
		"debian 12/openssl/CVE-2099-0003": "9:1",
		"alma 9/dbus/CVE-2099-0004":       "1:1.12.20-8.el9",
	})
	for _, c := range []struct {
		os   inventory.OS
		p    inventory.Package
		want string
	}{
		{inventory.OS{ID: "debian", Version: "12"}, inventory.Package{Type: inventory.Deb, Name: "dmsetup", Version: "2:1.02.185-2", Architecture: "amd64", Source: "lvm2", SourceVersion: "2.03.16-2"}, "CVE-2099-0001 dmsetup 2:1.02.185-2 2.03.16-3"},
		{inventory.OS{ID: "debian", Version: "12"}, inventory.Package{Type: inventory.Deb, Name: "libssl3", Version: "9:0-1", Architecture: "amd64", Source: "openssl", SourceVersion: "9:0-1"}, "CVE-2099-0003 libssl3 9:0-1 9:1"},
		{inventory.OS{ID: "almalinux", Version: "9.2"}, inventory.Package{Type: inventory.RPM, Name: "dbus", Version: "1:1.12.20-7.el9", Architecture: "x86_64", Source: "dbus", SourceVersion: "1:1.12.20-7.el9"}, "CVE-2099-0004 dbus 1:1.12.20-7.el9 1:1.12.20-8.el9"},
	} {
		t.Run(c.p.Name, func(t *testing.T) {
			c.p.Layer = 1
			inv := &inventory.Inventory{Digest: hash("a"), OS: c.os, DiffIDs: []v1.Hash{hash("1"), hash("2")}, Packages: []inventory.Package{c.p}}
			body, err := sbom.CycloneDX(inv, sbom.Subject{Name: "registry.example.com/a"})
			if err != nil {
				t.Fatal(err)
			}
			s, err := scan.New("trivy", scan.Config{Database: db, Temp: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Scan(t.Context(), scan.Target{SBOM: body, DiffIDs: inv.DiffIDs})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Findings) != 1 {
				t.Fatalf("%+v", got)
			}
			if f := got.Findings[0]; f.ID+" "+f.Package+" "+f.Version+" "+f.FixedIn != c.want || f.Layer != 1 {
				t.Errorf("%+v", f)
			}
		})
	}

	t.Run("too little memory", func(t *testing.T) {
		s, err := scan.New("trivy", scan.Config{Database: db, Temp: t.TempDir(), Memory: 48 << 20})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Scan(t.Context(), scan.Target{SBOM: []byte("{}")})
		var u *scan.Unavailable
		if !errors.As(err, &u) || u.Reason != scan.OutOfMemory {
			t.Error(err)
		}
	})
}

// advise writes a database of advisories, the fix by "release/package/vulnerability".
func advise(t *testing.T, dir string, fixes map[string]string) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, "db", "trivy.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put := func(tx *bbolt.Tx, key, value string, buckets ...string) {
		b, err := tx.CreateBucketIfNotExists([]byte(buckets[0]))
		for _, next := range buckets[1:] {
			if err == nil {
				b, err = b.CreateBucketIfNotExists([]byte(next))
			}
		}
		if err == nil {
			err = b.Put([]byte(key), []byte(value))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		for at, fix := range fixes {
			release, name, id := path.Dir(path.Dir(at)), path.Base(path.Dir(at)), path.Base(at)
			put(tx, id, `{"FixedVersion":"`+fix+`"}`, release, name)
			put(tx, release, `{"ID":"test","Name":"test"}`, "data-source")
			put(tx, id, `{"Severity":"HIGH"}`, "vulnerability")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
