package pace

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"
)

// Wave is a part of those who are told of one change, told together.
type Wave struct {
	Name string `json:"name"` // "canary", "10%"
	// Canary: those that are named as canaries; when nobody is, Count are picked.
	Canary bool `json:"canary,omitempty"`
	Count  int  `json:"count,omitempty"`
	// Share is how many percent of all are told when the wave has been, those of the waves before it included. It is not used
	// of a wave of canaries, and the last wave is always everybody.
	Share int `json:"share,omitempty"`
	// Soak is how long nobody else is told after the last of the wave was proven or failed.
	Soak time.Duration `json:"soak,omitempty"`
	// Within is how long those that are told are waited for; then the next wave goes on without them, if one of the wave is
	// proven. Zero: for ever.
	Within time.Duration `json:"within,omitempty"`
}

// Member is an application as far as its wave goes.
type Member struct {
	Name   string
	Owner  string
	Canary bool // named as one
	Tried  bool // built on the candidate before that is promoted
}

// Assign says in which wave each member is, by name; with one wave or none that is the first. Members are put in the order of
// a hash of their names, so that one that comes or goes moves nobody but those at the edge of a wave.
//
// When nobody is named, canaries are picked: those that were tried first, of as many owners as there are, and never more than
// a quarter of all.
func Assign(waves []Wave, members []Member) map[string]int {
	out := make(map[string]int, len(members))
	all := slices.Clone(members)
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(cmp.Compare(hash(a.Name), hash(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	told := 0
	take := func(wave int, m Member) {
		if _, again := out[m.Name]; !again {
			out[m.Name] = wave
			told++
		}
	}
	for i, w := range waves[:max(len(waves)-1, 0)] {
		if w.Canary {
			for _, m := range canaries(w, all) {
				take(i, m)
			}
			continue
		}
		most := (len(all)*w.Share + 99) / 100
		for _, m := range all {
			if told >= most {
				break
			}
			take(i, m)
		}
	}
	for _, m := range all {
		take(max(len(waves)-1, 0), m)
	}
	return out
}

// canaries are those that are named, or those that are picked.
func canaries(w Wave, all []Member) []Member {
	named := slices.DeleteFunc(slices.Clone(all), func(m Member) bool { return !m.Canary })
	if len(named) > 0 || len(all) == 0 {
		return named
	}
	rest := slices.Clone(all)
	slices.SortStableFunc(rest, func(a, b Member) int { return order(b.Tried) - order(a.Tried) })
	most := min(w.Count, max(len(all)/4, 1))
	var picked []Member
	owners := map[string]bool{}
	for len(picked) < most {
		i := slices.IndexFunc(rest, func(m Member) bool { return !owners[m.Owner] })
		if i < 0 { // every owner has one: another round
			clear(owners)
			continue
		}
		owners[rest[i].Owner] = true
		picked = append(picked, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	return picked
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

// title names a wave among others: "wave 2 of 4 (10%)".
func title(waves []Wave, i int) string {
	return fmt.Sprintf("wave %d of %d (%s)", i+1, len(waves), waves[i].Name)
}

// hash is the same for the same words on every machine.
func hash(words ...string) uint64 {
	sum := fnv.New64a()
	for _, w := range words {
		_, _ = sum.Write([]byte(w)) // a hash takes everything
		_, _ = sum.Write([]byte{0})
	}
	return mix(sum.Sum64())
}

// mix spreads what differs in the last letters only over all bits.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// jitter is a part of spread, the same for the same words.
func jitter(spread time.Duration, words ...string) time.Duration {
	if spread <= 0 {
		return 0
	}
	return time.Duration(hash(words...) % uint64(spread)).Truncate(time.Second)
}

// bytes of a time, for hash.
func stamp(t time.Time) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(t.Unix()))) // #nosec G115 -- only told apart
}
