package watch

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"rebuilder/internal/inventory"
)

// family is what differs between the kinds of package repositories. It holds no state: what is known of a repository is
// the watcher's.
type family interface {
	// ask makes the conditional request for a repository's head: the file that describes its state, with its signature.
	// A nil raw says that it is still the one known. What is returned is not verified yet.
	ask(ctx context.Context, w *Watcher, repo inventory.Repository, before known) (raw []byte, v validators, err error)
	// open verifies a head by the keys of the image and reads it. The bytes are untrusted until then.
	open(w *Watcher, raw []byte, repo inventory.Repository, now time.Time) (head, error)
	// regressed refuses packages that are older than before where heads do not say by a date that they are older.
	regressed(before, after map[string][]offer) error
	// chooser prepares the choice that an image's package manager makes. indexes are those of the image, of this family.
	chooser(inv *inventory.Inventory, indexes []*Index) chooser
}

// families by the type of their repositories and packages.
func families() map[string]family {
	return map[string]family{inventory.Deb: debian{}, inventory.APK: apkFamily{}, inventory.RPM: rpmFamily{}}
}

// familyOf finds the family of packages or a repository; those without a type are of deb, the oldest.
func familyOf(kind string) (family, bool) {
	if kind == "" {
		kind = inventory.Deb
	}
	f, ok := families()[kind]
	return f, ok
}

// known is what is known of a repository's head from before; the zero value when nothing is.
type known struct {
	sum        string // SHA-256 of its bytes, hex
	validators validators
	about      about
}

// head is a verified description of a repository's state.
type head interface {
	about() about
	// parts picks what is to be read for a repository entry. None at all is an error.
	parts(repo inventory.Repository) ([]part, error)
	// urls lists the addresses at which a file may be, the best first.
	urls(repo inventory.Repository, v validators, f indexFile) ([]*url.URL, error)
	// read reads the packages of one part. r has the file as it was fetched, or is nil for a part that lies in the head;
	// limit bounds what it may decompress to. wanted is asked for each name.
	read(p part, f indexFile, r io.Reader, limit int64, wanted func(string) bool, add func(name string, o offer)) error
}

// about is what a head says of the whole repository.
type about struct {
	origin, label, suite, codename, version string

	date, validUntil          time.Time // validUntil is zero when it does not say
	unordered                 bool      // a later state may have an earlier date
	notAutomatic, butUpgrades bool
	unsigned                  bool // nobody signed it, and the image's package manager does not ask
}

// part is one file of packages, in the forms that are offered, best first.
type part struct {
	component string
	forms     []indexFile // none when it lies in the head
	plainSize int64       // decompressed; 0 when the head does not say
	identity  string      // of its content, whichever form is fetched
}

// indexFile is one file that a head lists.
type indexFile struct {
	name string // "main/binary-amd64/Packages.gz"
	sum  string // SHA-256 or SHA-512, hex: its length says which
	size int64  // bytes; -1 when the head does not say
}

// offer is one version of a package in an index.
type offer struct {
	version, arch         string
	source, sourceVersion string
	component             string
	module                string // of rpm: "nodejs:18"
	published             int64  // epoch milliseconds: date of the head that first offered it to us
}

// chooser says to which version an image's package manager would upgrade an installed package, were it asked to now. held
// says that there is a newer one which the image's own rules keep away.
type chooser func(p inventory.Package) (best ranked, held, ok bool)

// ranked is an offer with the index that has it.
type ranked struct {
	offer
	index    *Index
	priority int
}

// check refuses what is out of its time.
func (a about) check(before about, now time.Time) error {
	if !a.unordered && a.date.Before(before.date) {
		return fmt.Errorf("%w: the index is of %s, we have seen the one of %s: the server or something before it serves old files",
			ErrRollback, a.date.Format(time.RFC3339), before.date.Format(time.RFC3339))
	}
	if a.date.After(now.Add(maxFuture)) {
		return fmt.Errorf("%w: the index is of %s, which is in the future: check this machine's clock", ErrMalformed, a.date.Format(time.RFC3339))
	}
	return a.fresh(now)
}

func (a about) fresh(now time.Time) error {
	if !a.validUntil.IsZero() && now.After(a.validUntil) {
		return fmt.Errorf("%w: the index was valid until %s: the mirror is no longer updated, or is kept from us",
			ErrExpired, a.validUntil.Format(time.RFC3339))
	}
	return nil
}
