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
		for _, e := range Keyring([][]byte{ring}) {
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

// Keyring reads OpenPGP public keys as they are in Repository.Keys, binary or armoured. Keys that cannot be read are
// left out: keyrings of old images hold some of kinds that are no longer supported.
func Keyring(keys [][]byte) openpgp.EntityList {
	var all openpgp.EntityList
	for _, key := range keys {
		for _, block := range armoured(key) {
			if list, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(block)); err == nil {
				all = append(all, list...)
			}
		}
		if !bytes.Contains(key, armour) {
			if list, err := openpgp.ReadKeyRing(bytes.NewReader(key)); err == nil {
				all = append(all, list...)
			}
		}
	}
	return all
}

var armour = []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")

// armoured splits a file of several armoured keys; the library reads the first only.
func armoured(key []byte) [][]byte {
	var blocks [][]byte
	for {
		start := bytes.Index(key, armour)
		if start < 0 {
			return blocks
		}
		key = key[start:]
		end := len(key)
		if next := bytes.Index(key[len(armour):], armour); next >= 0 {
			end = len(armour) + next
		}
		blocks, key = append(blocks, key[:end]), key[end:]
	}
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
