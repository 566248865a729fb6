package dockerfile

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestAgreesWithBuildKit converts the corpus as a build would and compares the images that BuildKit then asks for with
// those that we find by ourselves.
func TestAgreesWithBuildKit(t *testing.T) {
	for _, s := range corpus(t) {
		t.Run(s.name, func(t *testing.T) {
			want, err := asked(s)
			if s.refused != "" {
				if err == nil || !strings.Contains(err.Error(), s.refused) {
					t.Fatalf("BuildKit says %v, want %q", err, s.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := reachable(t, s); !slices.Equal(got, want) {
				t.Errorf("got %q, BuildKit asks for %q", got, want)
			}
		})
	}
}

// FuzzAgreesWithBuildKit: what BuildKit builds, Parse reads, and both reach the same images.
func FuzzAgreesWithBuildKit(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, s.target)
	}
	f.Fuzz(func(t *testing.T, src []byte, target string) {
		s := sample{name: "fuzz", src: src, target: target}
		file, err := Parse("Dockerfile", src, nil)
		if err != nil && strings.Contains(err.Error(), "too long") || bytes.Contains(src, []byte("SOURCE_DATE_EPOCH")) {
			return
		}
		want, refused := asked(s)
		if refused != nil || file != nil && len(file.Stages) > 100 {
			return
		}
		if err != nil {
			t.Fatalf("BuildKit builds it, but %v", err)
		}
		if got := reachable(t, s); !slices.Equal(got, want) {
			t.Errorf("got %q, BuildKit asks for %q", got, want)
		}
	})
}

// FuzzUsesOn: whatever the file and what its parent's ONBUILD says, Uses returns, and says of exactly the images that BuildKit
// reaches that they are; those in ONBUILDs of the file come on top.
func FuzzUsesOn(f *testing.F) {
	for _, s := range corpus(f) {
		f.Add(s.src, s.target, "debian:12", "COPY --from=tools:1 /a /a")
	}
	f.Fuzz(func(t *testing.T, src []byte, target, parent, trigger string) {
		file, err := Parse("Dockerfile", src, nil)
		if err != nil || file.Frontend() != "" {
			return
		}
		triggers := Triggers{parent: {trigger}}
		used, err := file.UsesOn(target, triggers)
		if err != nil {
			return
		}
		a, err := file.ask(target, triggers)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range used {
			switch {
			case u.Use == Frontend || u.Use == Unreachable:
			case !a.images[u.image()] && !u.onbuild():
				t.Errorf("%+v is not reached", u)
			case u.Use == Inherits && u.image() != a.inherits:
				t.Errorf("%+v is not what the target stands on: %+v", u, a.inherits)
			}
		}
		for im := range a.images {
			if !slices.ContainsFunc(used, func(u Used) bool { return u.image() == im && u.Use != Unreachable && u.Use != Frontend }) {
				t.Errorf("%+v is reached, and nothing says so: %+v", im, used)
			}
		}
		if a.inherits != (image{}) && !slices.ContainsFunc(used, func(u Used) bool { return u.Use == Inherits }) {
			t.Errorf("the target stands on %+v, and nothing says so: %+v", a.inherits, used)
		}
	})
}

// reachable are the images that the target of a sample needs, normalized as BuildKit asks for them. What an ONBUILD names
// counts if a stage that is built is FROM the one it stands in.
func reachable(t *testing.T, s sample) []string {
	t.Helper()
	f := s.parse(t)
	at, err := f.Target(s.target)
	if err != nil {
		t.Fatal(err)
	}
	used, err := f.found(s.target)
	if err != nil {
		t.Fatal(err)
	}
	if f, err = f.built(s.target); err != nil {
		t.Fatal(err)
	}
	_, reached := f.reach(at)
	fires := map[int]bool{}
	for i, stage := range f.Stages {
		if reached[i] {
			fires[stage.Parent] = true
		}
	}
	var out []string
	for _, u := range used {
		if u.Use == Frontend || u.Use == Unreachable || u.onbuild() && !fires[u.StageIndex] {
			continue
		}
		out = append(out, whole(u.Name)+" "+u.Platform)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// asked returns the images that BuildKit says a target needs, each with its platform.
func asked(s sample) ([]string, error) {
	a, err := (&File{Path: "Dockerfile", src: s.src, args: s.args}).ask(s.target, nil)
	if err != nil {
		return nil, err
	}
	var out []string
	for im := range a.images {
		out = append(out, im.name+" "+im.platform)
	}
	slices.Sort(out)
	return out, nil
}
