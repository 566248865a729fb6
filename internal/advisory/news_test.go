package advisory_test

import (
	"fmt"
	"testing"

	"rebuilder/internal/advisory"
	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
	"rebuilder/internal/plan"
	"rebuilder/internal/reconcile"
)

var _ reconcile.Advisories = (*advisory.Book)(nil)

// A base is rebuilt for what a patch on offer fixes, for as long as it is and the patch is.
func TestNew(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "openssl", "introduced 0", "fixed 3.0.22-1"), record("CVE-2026-0002", "Debian:12", "openssl", "introduced 0"),
		record("CVE-2026-0003", "Debian:12", "openssl", "introduced 0", "fixed 3.0.25-1"), record("CVE-2026-0004", "Debian:12", "lvm2", "introduced 0", "fixed 2.03.16-3"),
		record("CVE-2026-0005", "Debian:12", "bash", "introduced 0", "fixed 5.2-2"))
	w.sync()
	inv := image(bookworm, deb("libssl3", "3.0.20-1", "openssl", "3.0.20-1"), deb("openssl", "3.0.20-1", "openssl", "3.0.20-1"), deb("dmsetup", "2:1.02.185-2", "lvm2", "2.03.16-2"), deb("bash", "5.2-1+b3", "bash", "5.2-1"))
	w.save(inv)
	offer := func(name, to string) plan.Patch {
		return plan.Patch{Patch: patch.Patch{Type: inventory.Deb, Package: name, To: to}}
	}
	held, inherited := offer("libssl3", "3.0.22-1"), offer("libssl3", "3.0.22-1")
	held.Held, inherited.Inherited = true, "base/debian"
	for _, c := range []struct {
		name    string
		patches []plan.Patch
		want    []string
	}{
		{"no patch", nil, []string{}},
		{"a patch of one", []plan.Patch{offer("libssl3", "3.0.22-1")}, []string{"CVE-2026-0001 hits libssl3 3.0.20-1, fixed in 3.0.22-1"}},
		{"of both of its packages: once", []plan.Patch{offer("openssl", "3.0.22-1"), offer("libssl3", "3.0.22-1")}, []string{"CVE-2026-0001 hits libssl3 3.0.20-1, fixed in 3.0.22-1"}},
		{"a patch that is too old", []plan.Patch{offer("libssl3", "3.0.21-1")}, []string{}},
		{"held", []plan.Patch{held}, []string{}},
		{"inherited", []plan.Patch{inherited}, []string{}},
		{"of another package", []plan.Patch{offer("curl", "9")}, []string{}},
		{"a version that the source does not have says nothing", []plan.Patch{offer("dmsetup", "2:1.02.185-3")}, []string{}},
		{"built again without a change", []plan.Patch{offer("bash", "5.2-2+b1")}, []string{"CVE-2026-0005 hits bash 5.2-1+b3, fixed in 5.2-2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := plan.Facts{Bases: map[string]plan.Base{"base/debian": {Image: plan.Image{Digest: inv.Digest}, Patches: c.patches}, "base/gone": {Patches: c.patches}, "base/unread": {Image: plan.Image{Digest: digest(2)}, Patches: c.patches}}}
			all, err := w.book.New(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, a := range all {
				if a.Image != "base/debian" {
					t.Errorf("%+v", a)
				}
				got = append(got, fmt.Sprint(a))
			}
			w.same("new", got, c.want)
		})
	}
}

// What is not read yet is looked at when it is.
func TestNewOfWhatIsReadLater(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "curl", "introduced 0", "fixed 8"))
	w.sync()
	inv := image(bookworm, deb("curl", "7", "curl", ""))
	f := plan.Facts{Bases: map[string]plan.Base{"b": {Image: plan.Image{Digest: inv.Digest}, Patches: []plan.Patch{{Patch: patch.Patch{Package: "curl", To: "9"}}}}}}
	for want := range 2 {
		all, err := w.book.New(t.Context(), f)
		if err != nil || len(all) != want {
			t.Errorf("%v %v, want %d", all, err, want)
		}
		w.save(inv)
	}
}

// What was found is kept until the advisories are others.
func TestNewFollowsTheAdvisories(t *testing.T) {
	w := newWorld(t, nil)
	w.write(record("CVE-2026-0001", "Debian:12", "curl", "introduced 0", "fixed 8"))
	w.sync()
	inv := image(bookworm, deb("curl", "7", "curl", ""))
	w.save(inv)
	f := plan.Facts{Bases: map[string]plan.Base{"b": {Image: plan.Image{Digest: inv.Digest}, Patches: []plan.Patch{{Patch: patch.Patch{Package: "curl", To: "9"}}}}}}
	for n := range 3 {
		if n == 2 {
			w.write(record("CVE-2026-0002", "Debian:12", "curl", "introduced 0", "fixed 9"))
			w.sync()
		}
		all, err := w.book.New(t.Context(), f)
		if want := 1 + n/2; err != nil || len(all) != want {
			t.Errorf("%d: %v %v, want %d", n, all, err, want)
		}
	}
}
