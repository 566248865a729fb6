package watch

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

const maxAPKIndex = 64 << 20 // bytes of an index as it is fetched

// apkFamily is the family of Alpine, Wolfi and their like: one file a repository and architecture holds signature and
// packages.
type apkFamily struct{}

func (apkFamily) ask(ctx context.Context, w *Watcher, repo inventory.Repository, before known) ([]byte, validators, error) {
	u, err := apkIndexURL(repo)
	if err != nil {
		return nil, before.validators, err
	}
	return w.fetch(ctx, u, before.validators, min(w.maxBytes, maxAPKIndex))
}

// apkIndexURL is the address of a repository's index.
func apkIndexURL(repo inventory.Repository) (*url.URL, error) {
	u, err := url.Parse(repo.URI)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", repo.Where, err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s: %s cannot be watched: only http and https can", repo.Where, shownURL(u))
	case strings.HasSuffix(u.Path, ".adb"):
		return nil, fmt.Errorf("%s: %s is an index in the format of apk 3, which is not read: name a repository with an APKINDEX.tar.gz", repo.Where, shownURL(u))
	case strings.HasSuffix(u.Path, ".tar.gz"):
		return u, nil
	case len(repo.Architectures) == 0:
		return nil, fmt.Errorf("%s: %s: for which architecture is not known", repo.Where, shownURL(u))
	}
	return u.JoinPath(repo.Architectures[0], "APKINDEX.tar.gz"), nil
}

func (apkFamily) open(w *Watcher, raw []byte, repo inventory.Repository, now time.Time) (head, error) {
	signed, err := verifyAPK(raw, repo)
	if err != nil {
		return nil, err
	}
	ix := &apkIndex{signed: signed}
	plain := sha256.New()
	err = ix.each(w.maxBytes, plain, func(r inventory.APKRecord) error {
		if r.Built.After(ix.newest) {
			ix.newest = r.Built
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if ix.newest.IsZero() {
		ix.newest = now // it does not say
	}
	ix.identity = fmt.Sprintf("%x", plain.Sum(nil))
	return ix, nil
}

// apkIndex is a verified index.
type apkIndex struct {
	signed   []byte
	newest   time.Time // of all builds
	identity string    // of what it says of packages, however it is packed and signed
}

// about has the newest build as the date: an index has none of its own. When that package is withdrawn the date goes
// back, which is why states are ordered by the versions in them.
func (ix *apkIndex) about() about { return about{date: ix.newest, unordered: true} }

func (ix *apkIndex) parts(inventory.Repository) ([]part, error) {
	return []part{{identity: ix.identity}}, nil
}

func (ix *apkIndex) urls(inventory.Repository, validators, indexFile) ([]*url.URL, error) {
	return nil, errors.New("an apk index names no files")
}

// read gives each offer the time of its build as published. The watcher replaces it; regressed looks at it before.
func (ix *apkIndex) read(_ part, _ indexFile, _ io.Reader, limit int64, wanted func(string) bool, add func(string, offer)) error {
	return ix.each(limit, io.Discard, func(r inventory.APKRecord) error {
		if wanted(r.Name) {
			add(strings.Clone(r.Name), offer{
				version: strings.Clone(r.Version), arch: strings.Clone(r.Architecture), published: r.Built.UnixMilli(),
				source: strings.Clone(cmp.Or(r.Origin, r.Name)), sourceVersion: strings.Clone(r.Version),
			})
		}
		return nil
	})
}

// each reads all records, and writes to plain what they are read from.
func (ix *apkIndex) each(limit int64, plain io.Writer, add func(inventory.APKRecord) error) error {
	packed, err := gzip.NewReader(bytes.NewReader(ix.signed))
	if err != nil {
		return apkMalformed(err)
	}
	unpacked := &atMost{r: packed, left: limit, name: "APKINDEX.tar.gz, decompressed"}
	found := false
	for archive := tar.NewReader(unpacked); ; {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF) && !found:
			return fmt.Errorf("%w: there is no APKINDEX in it", ErrMalformed)
		case errors.Is(err, io.EOF):
			_, err := io.Copy(io.Discard, unpacked) // to the checksum at its end
			return apkMalformed(err)
		case err != nil:
			return apkMalformed(err)
		case h.Name != "APKINDEX":
			continue
		case found:
			return fmt.Errorf("%w: there are two APKINDEX in it", ErrMalformed)
		}
		found = true
		if err := inventory.ReadAPK(io.TeeReader(archive, plain), add); err != nil {
			return apkMalformed(err)
		}
	}
}

// regressed refuses an index in which a package is older than before. A package that is gone is no step back, nor is an
// older version that was built after the newer one was offered: so does a distribution take back a release.
func (apkFamily) regressed(before, after map[string][]offer) error {
	for name, offers := range after {
		was, knew := newestOffer(before[name])
		is, has := newestOffer(offers)
		if !knew || !has {
			continue
		}
		order, err := patch.Compare(inventory.APK, is.version, was.version)
		if err == nil && order < 0 && is.published <= was.published {
			return fmt.Errorf("%w: it has %s %s, and had %s: the server or something before it serves an old index", ErrRollback, name, is.version, was.version)
		}
	}
	return nil
}

// newestOffer leaves out versions that are none.
func newestOffer(offers []offer) (best offer, ok bool) {
	for _, o := range offers {
		order, err := patch.Compare(inventory.APK, o.version, cmp.Or(best.version, o.version))
		if err == nil && (!ok || order > 0) {
			best, ok = o, true
		}
	}
	return best, ok
}
