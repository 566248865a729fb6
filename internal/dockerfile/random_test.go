package dockerfile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRandomFilesAgreeWithBuildKit compares what BuildKit reaches with what we find for files of which no part is hard,
// but their stages reach each other in every way there is.
func TestRandomFilesAgreeWithBuildKit(t *testing.T) {
	built := 0
	for seed := range uint64(200) {
		s := randomSample(rand.New(rand.NewPCG(seed, 0)))
		want, err := asked(s)
		if err != nil {
			continue
		}
		built++
		if got := reachable(t, s); !slices.Equal(got, want) {
			t.Errorf("seed %d, target %q: got %q, BuildKit asks for %q\n%s", seed, s.target, got, want, s.src)
		}
		checkRewrites(t, s.parse(t))
	}
	if built < 50 {
		t.Errorf("BuildKit builds %d of the files, too few to say anything", built)
	}
}

func randomSample(r *rand.Rand) sample {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	names := []string{"one", "two", "three", "four"}
	from := func() string {
		return one("one", "TWO", "three", "four", "scratch", "0", "1", "tools:1", "tools:2", "r.example.com/tools", "busybox")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ARG BASE=%s\nARG NONE\n", one("debian:12", "one", "two", "scratch", `"busybox:1"`))
	stages := 1 + r.IntN(6)
	for range stages {
		base := one("debian:12", "golang:1", "one", "two", "three", "scratch", "$BASE", "${BASE:-x}", "${NONE:-one}", "tools${BASE:+:3}")
		fmt.Fprintf(&b, "FROM %s%s\n", base, one("", " AS one", " as Two", " AS three", " AS four"))
		for range r.IntN(4) {
			b.WriteString(one("", "", "ONBUILD "))
			switch r.IntN(4) {
			case 0:
				fmt.Fprintf(&b, "RUN --mount=target=/x,from=%s --mount=type=cache,target=/c,from=%s true\n", from(), from())
			case 1:
				fmt.Fprintf(&b, "RUN --mount=from=%s,target=/x <<EOF\nCOPY --from=%s / /\nEOF\n", from(), from())
			default:
				fmt.Fprintf(&b, "COPY --link --from=%s /a /a\n", from())
			}
		}
	}
	s := sample{name: "random", src: []byte(b.String()), args: map[string]string{}}
	if r.IntN(2) == 0 {
		s.target = one(names...)
	}
	if r.IntN(3) == 0 {
		s.args["BASE"] = one("debian:13", "one", "")
	}
	return s
}
