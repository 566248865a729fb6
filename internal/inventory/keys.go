package inventory

import (
	"bytes"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
)

const (
	trustedKeys    = "/etc/apt/trusted.gpg"
	trustedDir     = "/etc/apt/trusted.gpg.d"
	sharedKeyrings = "/usr/share/keyrings"
)

// keysOf finds the keys that may sign a repository: those it names, else those that apt trusts for all. A named key
// that the image does not have is left out; a repository without keys is refused when it is watched, not here.
func keysOf(t *tree, s source) [][]byte {
	if s.inline != "" {
		return [][]byte{[]byte(s.inline)}
	}
	if len(s.signedBy) == 0 {
		return defaultKeys(t)
	}
	var keys [][]byte
	for _, by := range s.signedBy {
		if strings.HasPrefix(by, "/") {
			keys = appendKey(keys, t.content(by))
			continue
		}
		keys = append(keys, keysByFingerprint(defaultKeys(t), by)...)
	}
	return keys
}

// defaultKeys are apt's trusted keys. Where it has none, all shared keyrings are taken: newer releases name the one of
// theirs in every entry, and those who forget get what their distribution ships.
func defaultKeys(t *tree) [][]byte {
	keys := appendKey(nil, t.content(trustedKeys))
	for _, name := range t.names(trustedDir) {
		if ext := path.Ext(name); ext == ".gpg" || ext == ".asc" {
			keys = appendKey(keys, t.content(path.Join(trustedDir, name)))
		}
	}
	if len(keys) > 0 {
		return keys
	}
	for _, name := range t.names(sharedKeyrings) {
		if strings.Contains(name, "removed") {
			continue
		}
		keys = appendKey(keys, t.content(path.Join(sharedKeyrings, name)))
	}
	return keys
}

func appendKey(keys [][]byte, key []byte) [][]byte {
	if len(key) == 0 || slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
		return keys
	}
	return append(keys, key)
}

// keysByFingerprint picks the key with a fingerprint, or with a subkey of it. A "!" at its end, for exactly that
// subkey, is not told apart.
func keysByFingerprint(keyrings [][]byte, fingerprint string) [][]byte {
	want := strings.ToLower(strings.TrimSuffix(fingerprint, "!"))
	var found [][]byte
	for _, ring := range keyrings {
		for _, e := range entities(ring) {
			if !hasFingerprint(e, want) {
				continue
			}
			var b bytes.Buffer
			if e.Serialize(&b) == nil {
				found = append(found, b.Bytes())
			}
		}
	}
	return found
}

// entities reads a keyring, binary or armoured; what cannot be read is left out.
func entities(ring []byte) openpgp.EntityList {
	read := openpgp.ReadKeyRing
	if bytes.Contains(ring, []byte("-----BEGIN PGP")) {
		read = openpgp.ReadArmoredKeyRing
	}
	list, err := read(bytes.NewReader(ring))
	if err != nil {
		return nil
	}
	return list
}

func hasFingerprint(e *openpgp.Entity, want string) bool {
	match := func(f []byte) bool {
		have := hex.EncodeToString(f)
		return have == want || len(want) >= 16 && strings.HasSuffix(have, want)
	}
	return match(e.PrimaryKey.Fingerprint) || slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool {
		return match(s.PublicKey.Fingerprint)
	})
}
