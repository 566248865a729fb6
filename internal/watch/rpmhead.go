package watch

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"rebuilder/internal/inventory"
)

// repomd is a head that was verified as far as the image asks for it.
type repomd struct {
	date       time.Time
	undated    bool // date is when we looked
	unsigned   bool
	primary    part
	modules    part
	hasModules bool
}

func (rpmFamily) open(_ *Watcher, raw []byte, repo inventory.Repository, now time.Time) (head, error) {
	plain, sign, err := splitRepomd(raw)
	if err != nil {
		return nil, err
	}
	signed, err := verifyRepomd(plain, sign, repo, now)
	if err != nil {
		return nil, err
	}
	r, err := readRepomd(plain)
	if err != nil {
		return nil, err
	}
	r.unsigned = !signed
	if r.date.IsZero() { // it does not say
		r.date, r.undated = now, true
	}
	return r, nil
}

// verifyRepomd says whether a key of the image has signed the head. It must where the image asks for it. Where it does
// not, dnf believes what is there, and so do we; but a signature that a key of the image is said to have made, and did
// not, is a sign of tampering.
func verifyRepomd(plain, sign []byte, repo inventory.Repository, now time.Time) (signed bool, err error) {
	if len(sign) == 0 {
		if repo.Unsigned {
			return false, nil
		}
		return false, fmt.Errorf("%w: it has no repodata/repomd.xml.asc, and the image asks for one (repo_gpgcheck in %s)", ErrSignature, repo.Where)
	}
	ring := inventory.Keyring(repo.Keys)
	if len(ring) == 0 {
		if repo.Unsigned {
			return false, nil
		}
		return false, fmt.Errorf("%w: the image has no usable key for it (gpgkey in %s)", ErrSignature, repo.Where)
	}
	block, err := armor.Decode(bytes.NewReader(sign))
	if err != nil || block.Type != "PGP SIGNATURE" {
		if repo.Unsigned && !bytes.Contains(sign, []byte("-----BEGIN PGP SIGNATURE-----")) {
			return false, nil // a server's page for what it does not have
		}
		return false, fmt.Errorf("%w: its signature is damaged or cut off", ErrSignature)
	}
	signatures, err := readSignatures(block.Body)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if repo.Unsigned {
		known := false
		for _, s := range signatures {
			known = known || s.IssuerKeyId != nil && len(ring.KeysById(*s.IssuerKeyId)) > 0
		}
		if !known {
			return false, nil
		}
	}
	if err := anyGood(ring, plain, signatures, now); err != nil {
		return false, err
	}
	return true, nil
}

type repomdXML struct {
	XMLName  xml.Name `xml:"repomd"`
	Revision string   `xml:"revision"`
	Data     []struct {
		Type         string      `xml:"type,attr"`
		Checksum     checksumXML `xml:"checksum"`
		OpenChecksum checksumXML `xml:"open-checksum"`
		Location     struct {
			Href string `xml:"href,attr"`
		} `xml:"location"`
		Timestamp string `xml:"timestamp"`
		Size      string `xml:"size"`
		OpenSize  string `xml:"open-size"`
	} `xml:"data"`
}

type checksumXML struct {
	Type string `xml:"type,attr"`
	Sum  string `xml:",chardata"`
}

// readRepomd reads what of repomd.xml is of interest.
func readRepomd(plain []byte) (*repomd, error) {
	var x repomdXML
	if err := xml.Unmarshal(plain, &x); err != nil {
		return nil, fmt.Errorf("repomd.xml: %w: %.200w", ErrMalformed, err)
	}
	r := &repomd{date: epochTime(x.Revision)}
	for _, d := range x.Data {
		if at := epochTime(d.Timestamp); at.After(r.date) {
			r.date = at
		}
		var to *part
		switch d.Type {
		case "primary":
			to = &r.primary
		case "modules":
			to, r.hasModules = &r.modules, true
		default:
			continue
		}
		if len(to.forms) > 0 {
			return nil, fmt.Errorf("repomd.xml: %w: it lists %s twice", ErrMalformed, d.Type)
		}
		f, err := indexFileOf(d.Location.Href, d.Checksum, d.Size)
		if err != nil {
			return nil, fmt.Errorf("repomd.xml: %s: %w", d.Type, err)
		}
		*to = part{component: d.Type, forms: []indexFile{f}, identity: f.sum}
		if open, err := d.OpenChecksum.hex(); err == nil {
			to.identity = open
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(d.OpenSize), 10, 64); err == nil && n > 0 {
			to.plainSize = n
		}
	}
	if len(r.primary.forms) == 0 {
		return nil, fmt.Errorf("repomd.xml: %w: it lists no primary", ErrMalformed)
	}
	return r, nil
}

// indexFileOf checks what a head says of one file.
func indexFileOf(href string, sum checksumXML, size string) (indexFile, error) {
	f := indexFile{name: path.Clean(href), size: -1}
	if u, err := url.Parse(href); href == "" || err != nil || u.IsAbs() || path.IsAbs(href) || strings.HasPrefix(f.name, "..") {
		return f, fmt.Errorf("%w: location %.100q is not one below the repository", ErrMalformed, href)
	}
	var err error
	if f.sum, err = sum.hex(); err != nil {
		return f, err
	}
	if size = strings.TrimSpace(size); size != "" {
		if f.size, err = strconv.ParseInt(size, 10, 64); err != nil || f.size < 0 {
			return f, fmt.Errorf("%w: size %.40q", ErrMalformed, size)
		}
	}
	return f, nil
}

// hex is the sum, of a kind that can be relied on.
func (c checksumXML) hex() (string, error) {
	sum := strings.ToLower(strings.TrimSpace(c.Sum))
	b, err := hex.DecodeString(sum)
	if err != nil || (c.Type != "sha256" || len(b) != 32) && (c.Type != "sha512" || len(b) != 64) {
		return "", fmt.Errorf("%w: checksum %.20q %.140q: a SHA-256 or SHA-512 expected", ErrMalformed, c.Type, sum)
	}
	return sum, nil
}

// epochTime reads seconds since 1970, of which some tools write fractions; zero for what is none: a revision may be any
// text.
func epochTime(s string) time.Time {
	whole, _, _ := strings.Cut(strings.TrimSpace(s), ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n < 1e8 || n > 1e11 { // versions and dates such as 20240419 are no times
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (r *repomd) about() about {
	return about{date: r.date, unordered: r.undated, unsigned: r.unsigned}
}

func (r *repomd) parts(inventory.Repository) ([]part, error) {
	if r.hasModules {
		return []part{r.primary, r.modules}, nil
	}
	return []part{r.primary}, nil
}

func (r *repomd) urls(repo inventory.Repository, v validators, f indexFile) ([]*url.URL, error) {
	root := v.Root
	if root == "" {
		root = repo.URI
	}
	u, err := rpmURL(repo, root, f.name)
	if err != nil {
		return nil, err
	}
	return []*url.URL{u}, nil
}

func (r *repomd) read(p part, f indexFile, from io.Reader, limit int64, wanted func(string) bool, add func(string, offer)) error {
	plain, done, err := rpmDecompress(f.name, from, limit)
	if err != nil {
		return err
	}
	defer done()
	if p.component == "modules" {
		return readModules(plain, wanted, add)
	}
	return readPrimary(plain, wanted, add)
}

// rpmMalformed marks what is wrong with a file's bytes; nil stays nil.
func rpmMalformed(err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrMalformed) {
		return err
	}
	return fmt.Errorf("%w: %.200w", ErrMalformed, err)
}
