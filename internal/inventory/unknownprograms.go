package inventory

import "crypto/sha256"

// opaqueProgram is a program of which nothing is known, under all its names.
type opaqueProgram struct {
	names  []string
	golang string // "Go 1.22.1" when Go built it
}

// opaquePrograms finds the programs of an image of whose parts nothing is known.
func opaquePrograms(t *tree) []*opaqueProgram {
	bySum := map[[sha256.Size]byte]*opaqueProgram{}
	var all []*opaqueProgram
	t.root.each("", func(at string, n *node) {
		c := n.more().contents
		if c == nil || !c.program || len(c.libraries) > 0 && c.golang == "" {
			return
		}
		p := bySum[n.sum]
		if p == nil {
			p = &opaqueProgram{golang: c.golang}
			bySum[n.sum] = p
			all = append(all, p)
		}
		p.names = append(p.names, at)
	})
	return all
}
