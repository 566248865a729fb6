package buildkit

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"rebuilder/internal/dockerfile"
)

func packageSteps(t *testing.T, src string) []int {
	t.Helper()
	runs, err := dockerfile.Runs([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := dockerfile.PackageSteps(runs)
	return lines
}

func flagged(lines []int) map[int]string {
	out := map[int]string{}
	for _, l := range lines {
		out[l] = stateFlags
	}
	return out
}

func TestFlags(t *testing.T) {
	const df = "FROM a\nRUN apk add x\nRUN curl y\nFROM b\nRUN cp z\nONBUILD RUN w\n"
	for _, c := range []struct {
		state, fresh bool
		want         map[int]string
	}{
		{false, false, map[int]string{}},
		{true, false, map[int]string{2: stateFlags}},
		{false, true, map[int]string{2: freshFlags, 3: freshFlags, 5: freshFlags}},
		{true, true, map[int]string{2: stateFlags, 3: freshFlags, 5: freshFlags}},
	} {
		got, _, err := flags([]byte(df), c.state, c.fresh)
		if err != nil || !maps.Equal(got, c.want) {
			t.Errorf("state %v fresh %v: %v %v", c.state, c.fresh, got, err)
		}
		marked, err := markSteps([]byte(df), got)
		if err != nil || unmark(string(marked)) != df {
			t.Errorf("other bytes than the flags have changed: %q %v", marked, err)
		}
	}
}

func TestMarkStepsIsByteExact(t *testing.T) {
	in := "# syntax=docker/dockerfile:1\r\nFROM a\r\n\trUn   --network=none \\\r\n\tapk add x\r\nRUN echo RUN\r\nRUN <<EOF\napk add y\nEOF\nCMD [\"sh\"]"
	want := "# syntax=docker/dockerfile:1\r\nFROM a\r\n\trUn" + stateFlags + "   --network=none \\\r\n\tapk add x\r\nRUN echo RUN\r\nRUN" + stateFlags + " <<EOF\napk add y\nEOF\nCMD [\"sh\"]"
	got, err := markSteps([]byte(in), flagged(packageSteps(t, in)))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Steps are found in a marked file as in the one before: marks are not seen in what people read.
func TestMarksAreTakenOutAgain(t *testing.T) {
	for _, src := range []string{
		"FROM a\nRUN true \\\n  # why\n\n  && apt-get \\\n  update\nRUN echo\n", "FROM a\nRUN \\\n  apk add curl\n", "FROM a\n  run apk add --no-cache curl\n",
		"FROM a\nRUN <<EOF\nset -e\napt-get update\nEOF\nRUN echo\n", "FROM a\nRUN [\"apt-get\", \"install\", \"-y\", \"x\"]\n",
		"FROM a\nRUN --mount=type=cache,target=/var/cache/apt apt-get update\n", "# escape=`\nFROM a\nRUN echo `\n && apk add x\n", "FROM a\r\nRUN apk add x\r\nRUN echo\r\n",
		"FROM a\n# check=skip=all\nRUN ./install.sh\nRUN make\n",
	} {
		lines := packageSteps(t, src)
		marked, err := markSteps([]byte(src), flagged(lines))
		if err != nil {
			t.Fatal(err)
		}
		if got := unmark(string(marked)); got != src {
			t.Errorf("other bytes than the flags have changed:\n%q", got)
		}
		if again := packageSteps(t, string(marked)); !slices.Equal(again, lines) {
			t.Errorf("the marked Dockerfile has package steps %v, want %v", again, lines)
		}
	}
}

func FuzzMarkSteps(f *testing.F) {
	f.Add("FROM a\nRUN apt-get update && \\\n apt-get install x\nRUN <<E\napk add x\nE\n")
	f.Fuzz(func(t *testing.T, df string) {
		runs, err := dockerfile.Runs([]byte(df))
		lines, _ := dockerfile.PackageSteps(runs)
		if err != nil || strings.Contains(df, stateFlags) {
			return
		}
		marked, err := markSteps([]byte(df), flagged(lines))
		if err != nil {
			return
		}
		if unmark(string(marked)) != df {
			t.Errorf("marking changed more than the flags: %q", marked)
		}
	})
}
