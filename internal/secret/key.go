package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"path"
	"regexp"
	"strings"
)

// Rules of this package's own about private keys.
const (
	privateKey   = "private-key"
	encryptedKey = "encrypted-private-key"
	hostKey      = "ssh-host-key"
)

const (
	maxKey = 64 << 10 // bytes of one key between its first line and its last
	minKey = 64       // characters of base64: keys have more, examples in documents fewer
)

var (
	keyHeader = regexp.MustCompile(`^-----BEGIN ((?:[A-Z0-9]{1,12} ){0,3})PRIVATE KEY(?: BLOCK)?-----`)
	// keyField is a line in a key that is not of the key: "Proc-Type: 4,ENCRYPTED".
	keyField = regexp.MustCompile(`(?m)^[ \t]*(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset|MessageID):.*$`)
	hostFile = regexp.MustCompile(`^ssh_host_\w+_key$`)
	// escaped undoes what JSON and environment files do to the ends of lines.
	escaped = strings.NewReplacer(`\r`, "", `\n`, "\n", `\/`, "/")
)

// known are keys that are no secret.
var known = map[string]bool{
	"/etc/ssl/private/ssl-cert-snakeoil.key": true, // Debian's ssl-cert makes it for tests: nobody trusts what it signs
}

// keys are the private keys in a file, in PEM, OpenSSH's form or PGP's armour, also within other text: a JSON string, an
// environment file.
func keys(file string, content []byte) []hit {
	if known[file] {
		return nil
	}
	var found []hit
	for at := 0; len(found) < maxHits; {
		i := bytes.Index(content[at:], []byte("-----BEGIN "))
		if i < 0 {
			break
		}
		start := at + i
		at = start + len("-----BEGIN ")
		m := keyHeader.FindSubmatch(content[start:])
		if m == nil {
			continue
		}
		body := content[start+len(m[0]) : min(len(content), start+len(m[0])+maxKey)]
		end := bytes.Index(body, []byte("-----"))
		if end < 0 {
			continue
		}
		if h, ok := keyOf(strings.TrimSpace(string(m[1])), escaped.Replace(string(body[:end]))); ok {
			if hostFile.MatchString(path.Base(file)) && h.rule == privateKey {
				h.rule, h.title = hostKey, "private key of an SSH server"
			}
			h.start, h.end = start, start+len(m[0])+end
			found = append(found, h)
			at = h.end
		}
	}
	return found
}

// keyOf looks into a key: what kind it is, whether it is encrypted, and whether it is one at all.
func keyOf(kind, body string) (hit, bool) {
	fields := strings.Join(keyField.FindAllString(body, -1), "\n")
	text := base64Of(keyField.ReplaceAllString(body, ""))
	if len(text) < minKey {
		return hit{}, false
	}
	der, err := base64.RawStdEncoding.DecodeString(text)
	encrypted := kind == "ENCRYPTED" || strings.Contains(fields, "ENCRYPTED") || kind == "OPENSSH" && sshEncrypted(der)
	h := hit{rule: privateKey, title: titleOfKey(kind), random: []byte(text)}
	if kind != "PGP" { // whose checksum follows its base64
		h.weak = err != nil || !encrypted && !looksLikeKey(kind, der)
	}
	if encrypted {
		h.rule, h.title = encryptedKey, h.title+", encrypted with a passphrase"
	}
	return h, true
}

func titleOfKey(kind string) string {
	switch kind {
	case "RSA", "EC", "DSA", "PGP":
		return kind + " private key"
	case "OPENSSH":
		return "OpenSSH private key"
	}
	return "private key"
}

// base64Of keeps of a key's text what is base64, without padding.
func base64Of(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/' {
			return r
		}
		return -1
	}, text)
}

const sshMagic = "openssh-key-v1\x00"

// looksLikeKey tells a key from an example of one: OpenSSH's begin with their magic, all others with an ASN.1 sequence.
func looksLikeKey(kind string, der []byte) bool {
	if kind == "OPENSSH" {
		return bytes.HasPrefix(der, []byte(sshMagic))
	}
	return len(der) > 0 && der[0] == 0x30
}

// sshEncrypted reads the name of the cipher, which is the first field of OpenSSH's form.
func sshEncrypted(der []byte) bool {
	rest, ok := bytes.CutPrefix(der, []byte(sshMagic))
	if !ok || len(rest) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32(rest)
	return n > 0 && uint64(n) <= uint64(len(rest)-4) && string(rest[4:4+n]) != "none"
}
