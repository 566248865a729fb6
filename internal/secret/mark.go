package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// mark is the same for the same secret and says nothing of it. What a machine drew is hashed: it is the same wherever it
// lies, and no guess hits it. Of a password a hash would tell all to who tries the likely ones, so its mark is that of
// its place: the rule, the path and the line.
func mark(h hit, path string, line int) string {
	s := sha256.New()
	for _, part := range []string{"secret", h.rule, string(h.random)} {
		s.Write([]byte(part + "\x00"))
	}
	if len(h.random) == 0 {
		s.Write([]byte(path + "\x00" + strconv.Itoa(line)))
	}
	return hex.EncodeToString(s.Sum(nil)[:8])
}
