package watch

import (
	"archive/tar"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"chainguard.dev/apko/pkg/apk/signature"
	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/inventory"
)

const (
	apkSignPrefix  = ".SIGN."
	maxAPKSigns    = 32       // signatures of one index
	maxAPKSign     = 64 << 10 // bytes of one signature, as in apk
	maxAPKPreamble = 4 << 20  // bytes of what holds the signatures, decompressed
)

// apkSignature is one signature as an index carries it.
type apkSignature struct {
	kind string // "RSA256"
	key  string // the name of the key's file
	data []byte
}

// verifyAPK returns the part of an index that is signed, once a key of the image has been found to have signed it. The
// signature names its key; no other key of the image counts for it.
func verifyAPK(raw []byte, repo inventory.Repository) ([]byte, error) {
	signatures, signed, err := splitAPK(raw)
	if err != nil {
		return nil, err
	}
	if len(signatures) == 0 {
		return nil, fmt.Errorf("%w: it is not signed", ErrSignature)
	}
	if len(repo.Keys) == 0 {
		return nil, fmt.Errorf("%w: the image has no key at all (/etc/apk/keys)", ErrSignature)
	}
	var names []string
	var bad error
	for _, s := range signatures {
		names = append(names, fmt.Sprintf("%.100q", s.key))
		at := slices.Index(repo.KeyNames, s.key)
		if at < 0 || at >= len(repo.Keys) {
			continue
		}
		err := s.verify(signed, repo.Keys[at])
		if err == nil {
			return signed, nil
		}
		bad = fmt.Errorf("key %.100q: %w", s.key, err)
	}
	if bad != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, bad)
	}
	return nil, fmt.Errorf("%w: it is signed by %s, which is none of the image's %d keys (%s)",
		ErrSignature, strings.Join(names, ", "), len(repo.Keys), strings.Join(repo.KeyNames, ", "))
}

// verify checks one signature with the key in PEM that it names.
func (s apkSignature) verify(signed, key []byte) error {
	var hash crypto.Hash
	switch s.kind {
	case "RSA":
		hash = crypto.SHA1
	case "RSA256":
		hash = crypto.SHA256
	case "RSA512":
		hash = crypto.SHA512
	default:
		return fmt.Errorf("a signature of kind %.20q, which is not known", s.kind)
	}
	h := hash.New()
	h.Write(signed)
	return signature.RSAVerifyDigest(h.Sum(nil), hash, s.data, key)
}

// splitAPK parts an index from the signatures before it. Each is an archive of its own that holds nothing else; what is
// signed are the bytes behind all of them, up to the end.
func splitAPK(raw []byte) (signatures []apkSignature, signed []byte, err error) {
	left := int64(maxAPKPreamble)
	for {
		r := bytes.NewReader(raw) // gzip reads no further than it must from what gives single bytes
		found, err := readAPKSignatures(r, &left)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			return signatures, raw, nil
		}
		if signatures = append(signatures, found...); len(signatures) > maxAPKSigns {
			return nil, nil, fmt.Errorf("%w: more than %d signatures", ErrTooLarge, maxAPKSigns)
		}
		raw = raw[len(raw)-r.Len():]
	}
}

// readAPKSignatures reads one archive to its end if it is one of signatures; if not, it returns none.
func readAPKSignatures(r *bytes.Reader, left *int64) ([]apkSignature, error) {
	member, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%w: it is no index, or cut off: %w", ErrMalformed, err)
	}
	member.Multistream(false)
	plain := &atMost{r: member, left: *left, name: "signatures"}
	defer func() { *left = plain.left }()
	var found []apkSignature
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			_, err := io.Copy(io.Discard, plain) // the end of the archive may be followed by zeros
			return found, apkMalformed(err)
		case err != nil:
			return nil, apkMalformed(err)
		case !strings.HasPrefix(h.Name, apkSignPrefix) && len(found) == 0:
			return nil, nil
		case !strings.HasPrefix(h.Name, apkSignPrefix) || h.Size > maxAPKSign || len(found) >= maxAPKSigns:
			return nil, fmt.Errorf("%w: %.100q among its signatures", ErrMalformed, h.Name)
		}
		s := apkSignature{}
		s.kind, s.key, _ = strings.Cut(strings.TrimPrefix(h.Name, apkSignPrefix), ".")
		if s.data, err = io.ReadAll(archive); err != nil {
			return nil, apkMalformed(err)
		}
		found = append(found, s)
	}
}

// apkMalformed marks what is wrong with an index's bytes; nil stays nil.
func apkMalformed(err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrMalformed) {
		return err
	}
	return fmt.Errorf("%w: %.200w", ErrMalformed, err)
}
