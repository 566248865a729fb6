package watch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"pault.ag/go/debian/control"

	"rebuilder/internal/inventory"
)

// Reasons why a repository's state is refused. The error that wraps one names the repository and what to do.
var (
	ErrSignature = errors.New("no good signature by a key of the image")
	ErrExpired   = errors.New("expired")
	ErrRollback  = errors.New("older than what was seen before")
	ErrMismatch  = errors.New("not what the release file promises")
	ErrTooLarge  = errors.New("too large")
	ErrMalformed = errors.New("malformed")
)

const (
	maxRelease       = 16 << 20  // bytes of an InRelease file
	maxReleaseStanza = 512 << 10 // bytes of what is read of it; Debian's SHA-256 sums take 100 KB
	maxFuture        = 24 * time.Hour
)

// release is a verified release file.
type release struct {
	origin, label, suite, codename string
	version                        string
	date, validUntil               time.Time // validUntil is zero when it does not say
	byHash                         bool
	notAutomatic, butUpgrades      bool
	separateAll                    bool // binary-all holds what binary-<arch> does not
	files                          map[string]indexFile
}

// readRelease verifies an InRelease file with the image's keys and reads it.
func readRelease(raw []byte, keys [][]byte, now time.Time) (*release, error) {
	plain, err := verify(raw, keys, now)
	if err != nil {
		return nil, err
	}
	return parseRelease(plain)
}

// verify returns the signed text. Each signature is tried with each key: while a distribution changes its keys its
// files carry several, and one that cannot be checked must not hide one that can.
func verify(raw []byte, keys [][]byte, now time.Time) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, fmt.Errorf("%w: it is not a signed message", ErrSignature)
	}
	block, rest := clearsign.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("%w: the signed message is damaged or cut off", ErrSignature)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: there is something behind the signed message", ErrSignature)
	}
	ring := inventory.Keyring(keys)
	if len(ring) == 0 {
		return nil, fmt.Errorf("%w: the image has no usable key for this repository (Signed-By, /etc/apt/trusted.gpg.d)", ErrSignature)
	}
	signatures, err := readSignatures(block.ArmoredSignature.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if err := anyGood(ring, block.Bytes, signatures, now); err != nil {
		return nil, err
	}
	return block.Plaintext, nil
}

func anyGood(ring openpgp.EntityList, signed []byte, signatures []*packet.Signature, now time.Time) error {
	config := &packet.Config{Time: func() time.Time { return now }}
	var issuers []string
	var bad error
	for _, s := range signatures {
		if s.IssuerKeyId == nil {
			continue
		}
		issuers = append(issuers, fmt.Sprintf("%016X", *s.IssuerKeyId))
		for _, key := range ring.KeysById(*s.IssuerKeyId) {
			var one bytes.Buffer
			if err := s.Serialize(&one); err != nil {
				bad = err
				continue
			}
			_, err := openpgp.CheckDetachedSignature(openpgp.EntityList{key.Entity}, bytes.NewReader(signed), &one, config)
			if err == nil {
				return nil
			}
			bad = fmt.Errorf("key %016X: %w", *s.IssuerKeyId, err)
		}
	}
	if bad != nil {
		return fmt.Errorf("%w: %w", ErrSignature, bad)
	}
	return fmt.Errorf("%w: it is signed by %s, which is none of the image's %d keys", ErrSignature, strings.Join(issuers, ", "), len(ring))
}

// readSignatures leaves out the ones of kinds that the library does not know.
func readSignatures(r io.Reader) ([]*packet.Signature, error) {
	packets := packet.NewReader(io.LimitReader(r, 1<<20))
	var all []*packet.Signature
	for {
		p, err := packets.Next()
		var unsupported pgperrors.UnsupportedError
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case errors.As(err, &unsupported):
			continue
		case err != nil:
			return nil, err
		}
		if s, ok := p.(*packet.Signature); ok && len(all) < 32 {
			all = append(all, s)
		}
	}
}

type releaseStanza struct {
	Origin, Label, Suite, Codename, Version, Date, SHA256, NotAutomatic string

	ValidUntil           string `control:"Valid-Until"`
	ByHash               string `control:"Acquire-By-Hash"`
	ButAutomaticUpgrades string
	Architectures        string
	NoSupportForAll      string `control:"No-Support-for-Architecture-all"`
}

func parseRelease(plain []byte) (*release, error) {
	var s releaseStanza
	stanzas := inventory.Stanzas(bytes.NewReader(plain), maxReleaseStanza, "Origin", "Label", "Suite", "Codename", "Version", "Date", "SHA256", "NotAutomatic",
		"Valid-Until", "Acquire-By-Hash", "ButAutomaticUpgrades", "Architectures", "No-Support-for-Architecture-all")
	if err := control.Unmarshal(&s, stanzas); err != nil {
		return nil, fmt.Errorf("release file: %w: %.200w", ErrMalformed, err)
	}
	r := &release{
		origin: s.Origin, label: s.Label, suite: s.Suite, codename: s.Codename, version: s.Version,
		byHash: s.ByHash == "yes", notAutomatic: s.NotAutomatic == "yes", butUpgrades: s.ButAutomaticUpgrades == "yes",
		separateAll: slices.Contains(strings.Fields(s.Architectures), "all") && s.NoSupportForAll != "Packages",
	}
	var err error
	if r.date, err = parseDate(s.Date); err != nil {
		return nil, fmt.Errorf("release file: %w: Date: %w", ErrMalformed, err)
	}
	if s.ValidUntil != "" {
		if r.validUntil, err = parseDate(s.ValidUntil); err != nil {
			return nil, fmt.Errorf("release file: %w: Valid-Until: %w", ErrMalformed, err)
		}
	}
	r.files, err = parseFiles(s.SHA256)
	return r, err
}

// parseDate reads RFC 1123 in UTC, as the format demands, or with a numeric zone, as some tools write.
func parseDate(s string) (time.Time, error) {
	s = strings.Join(strings.Fields(s), " ")
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 UTC", "Mon, 2 Jan 2006 15:04:05 GMT", "Mon, 2 Jan 2006 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.60q: a date such as \"Sat, 21 Nov 2026 10:00:00 UTC\" expected", s)
}

// parseFiles keeps the Packages files: a release lists thousands of others.
func parseFiles(list string) (map[string]indexFile, error) {
	files, listed := map[string]indexFile{}, 0
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("release file: %w: SHA256 line %.100q", ErrMalformed, line)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if sum, bad := hex.DecodeString(f[0]); err != nil || bad != nil || len(sum) != 32 || size < 0 {
			return nil, fmt.Errorf("release file: %w: SHA256 line %.100q", ErrMalformed, line)
		}
		listed++
		if !strings.HasPrefix(path.Base(f[2]), "Packages") {
			continue
		}
		files[f[2]] = indexFile{name: f[2], sum: strings.ToLower(f[0]), size: size}
	}
	if listed == 0 {
		return nil, fmt.Errorf("release file: %w: it lists no files with SHA256", ErrMalformed)
	}
	return files, nil
}

func (r *release) about() about {
	return about{
		origin: r.origin, label: r.label, suite: r.suite, codename: r.codename, version: r.version, date: r.date, validUntil: r.validUntil,
		notAutomatic: r.notAutomatic, butUpgrades: r.butUpgrades,
	}
}

// parts picks the Packages files for a repository entry. Components or architectures that the repository does not
// have are left out, as apt does; none at all is an error.
func (r *release) parts(repo inventory.Repository) ([]part, error) {
	if isFlat(repo) {
		if p, ok := r.part("", "Packages"); ok {
			return []part{p}, nil
		}
		return nil, fmt.Errorf("%w: it lists no Packages file", ErrMalformed)
	}
	arches := slices.Clone(repo.Architectures)
	if r.separateAll && !slices.Contains(arches, "all") {
		arches = append(arches, "all")
	}
	var all []part
	for _, component := range repo.Components {
		for _, arch := range arches {
			if p, ok := r.part(component, component+"/binary-"+arch+"/Packages"); ok {
				all = append(all, p)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("it has no packages of %s for %s: correct the image's %s",
			strings.Join(repo.Components, ", "), strings.Join(repo.Architectures, ", "), repo.Where)
	}
	return all, nil
}

// part prefers gzip: it is half again as large as xz, and ten times as fast to read. It is known by its last form: the
// plain one, where there is one.
func (r *release) part(component, name string) (part, bool) {
	p := part{component: component}
	for _, ext := range []string{".gz", ".xz", ""} {
		if f, ok := r.files[name+ext]; ok {
			p.forms, p.identity = append(p.forms, f), f.name+" "+f.sum
		}
	}
	if plain, ok := r.files[name]; ok {
		p.plainSize = plain.size
	}
	return p, len(p.forms) > 0
}

// urls lists where a file may be: under its hash it cannot change while the mirror is updated.
func (r *release) urls(repo inventory.Repository, _ validators, f indexFile) ([]*url.URL, error) {
	names := []string{f.name}
	if r.byHash {
		names = []string{path.Join(path.Dir(f.name), "by-hash/SHA256", f.sum), f.name}
	}
	var all []*url.URL
	for _, name := range names {
		u, err := releaseURL(repo, name)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

func (r *release) read(p part, f indexFile, from io.Reader, limit int64, wanted func(string) bool, add func(string, offer)) error {
	plain, err := decompress(f.name, from, limit)
	if err != nil {
		return err
	}
	return readPackages(plain, p.component, wanted, add)
}

func isFlat(repo inventory.Repository) bool { return strings.HasSuffix(repo.Suite, "/") }
