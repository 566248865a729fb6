package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"chainguard.dev/apko/pkg/apk/apk"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

// apkOffering is the index of a repository with a tag, which may be "", and packages "name version [architecture]".
func apkOffering(tag string, pkgs ...string) *Index {
	ix := &Index{Repository: inventory.Repository{Type: inventory.APK, URI: "http://h/" + tag, ID: tag, Architectures: []string{"x86_64"}}, packages: map[string][]offer{}}
	for _, p := range pkgs {
		f := append(strings.Fields(p), "x86_64")
		ix.packages[f[0]] = append(ix.packages[f[0]], offer{version: f[1], arch: f[2], source: f[0]})
	}
	return ix
}

func TestAPKChoice(t *testing.T) {
	main, edge := []string{"a 2", "b 1"}, []string{"a 3", "b 3", "only 3"}
	for _, c := range []struct {
		name      string
		main      []string
		edge      []string // tagged
		world     []string
		installed string
		want      string
	}{
		{"newer", main, nil, nil, "a 1", "2"},
		{"the same", main, nil, nil, "a 2", ""},
		{"older", main, nil, nil, "a 2.1", ""},
		{"the newest of several", []string{"a 1.9", "a 1.10", "a 1.2"}, nil, nil, "a 1.1", "1.10"},
		{"a pre-release is older", []string{"a 2_rc1"}, nil, nil, "a 2", ""},
		{"a build of the same", []string{"a 2-r1"}, nil, nil, "a 2-r0", "2-r1"},
		{"no tag in the world", main, edge, nil, "a 1", "2"},
		{"another's tag", main, edge, []string{"b @edge"}, "a 1", "2"},
		{"its tag", main, edge, []string{"a @edge"}, "a 1", "3"},
		{"the tagged repository comes first, though it is older", []string{"a 5"}, edge, []string{"a @edge"}, "a 1", "3"},
		{"the tagged repository has no newer", []string{"a 5"}, edge, []string{"a @edge"}, "a 3", ""},
		{"the tagged repository has it no more", []string{"a 5"}, nil, []string{"a @edge"}, "a 3", "5"},
		{"only tagged repositories have it", main, edge, []string{"a @edge"}, "only 1", "3"},
		{"only repositories of a tag that is not used have it", main, edge, []string{"a @other"}, "only 1", ""},
		{"below", []string{"a 2", "a 3.1", "a 3.0_rc1"}, nil, []string{"a <3"}, "a 1", "3.0_rc1"},
		{"below, of all", main, nil, []string{"a <2"}, "a 1", "2 held"},
		{"exactly another", main, nil, []string{"a =1"}, "a 1", "2 held"},
		{"exactly it", main, nil, []string{"a =2"}, "a 1", "2"},
		{"above", main, nil, []string{"a >1"}, "a 1", "2"},
		{"at least", main, nil, []string{"a >=2"}, "a 1", "2"},
		{"at most", []string{"a 2", "a 2.1"}, nil, []string{"a <=2"}, "a 1", "2"},
		{"near", []string{"a 1.2.9", "a 1.20"}, nil, []string{"a ~1.2"}, "a 1.2.1", "1.2.9"},
		{"near, written the other way", []string{"a 1.3"}, nil, []string{"a =~1.2"}, "a 1.2.1", "1.3 held"},
		{"near or later", []string{"a 1.3"}, nil, []string{"a >~1.2"}, "a 1.2.1", "1.3"},
		{"the tagged repository has none that is taken", []string{"a 5"}, edge, []string{"a @edge", "a >3"}, "a 1", "5"},
		{"two constraints", []string{"a 1.2", "a 1.4", "a 1.6"}, nil, []string{"a >1.2", "a <1.6"}, "a 1.1", "1.4"},
		{"not a range", []string{"a 1.2", "a 1.6"}, nil, []string{"a !>1.5"}, "a 1.1", "1.2"},
		{"not at all", main, nil, []string{"a !"}, "a 1", "2 held"},
		{"a certain build", main, nil, []string{"a ><Q1abc="}, "a 1", "2 held"},
		{"a constraint that cannot be read", main, nil, []string{"a ~nonsense"}, "a 1", "2 held"},
		{"another's constraint", main, nil, []string{"b =1"}, "a 1", "2"},
		{"another architecture", []string{"a 2 aarch64"}, nil, nil, "a 1", ""},
		{"becomes of no architecture", []string{"a 2 noarch"}, nil, nil, "a 1", "2"},
		{"was of no architecture", main, nil, nil, "a 1 noarch", "2"},
		{"tag and constraint", main, []string{"a 3", "a 4"}, []string{"a @edge", "a <4"}, "a 1", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := apkImage(nil, apkPinned(c.world...), c.installed)
			got := ""
			for _, p := range Patches(inv, []*Index{apkOffering("", c.main...), apkOffering("edge", c.edge...)}) {
				got = p.To
				if p.Held {
					got += " held"
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Held in the inventory, as by an exact constraint, is held here though the constraint itself would take it.
func TestAPKHeldStaysHeld(t *testing.T) {
	inv := apkImage(nil, apkPinned("a =1"), "a 1")
	inv.Packages[0].Held = true
	if p := Patches(inv, []*Index{apkOffering("", "a 2")}); len(p) != 1 || !p[0].Held || p[0].Repository != "http://h" {
		t.Errorf("got %+v", p)
	}
}

// As long as a repository was never read, nothing is taken from those that apk would ask after it.
func TestAPKChoiceWithoutSomeRepositories(t *testing.T) {
	repos := func(tags ...string) (all []inventory.Repository) {
		for _, tag := range tags {
			all = append(all, apkOffering(tag).Repository)
		}
		return all
	}
	main, edge := apkOffering("", "a 3"), apkOffering("edge", "a 2", "b 2")
	for _, c := range []struct {
		name    string
		repos   []inventory.Repository
		indexes []*Index
		want    string
	}{
		{"all are read", repos("", "edge"), []*Index{main, edge}, "a 2, b 2"},
		{"the tagged one is not", repos("", "edge"), []*Index{main}, ""},
		{"the one without a tag is not", repos("", "edge"), []*Index{edge}, "a 2"},
		{"one of another tag is not", repos("", "edge", "other"), []*Index{main, edge}, "a 2, b 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range Patches(apkImage(c.repos, apkPinned("a @edge"), "a 1", "b 1"), c.indexes) {
				got = append(got, p.Package+" "+p.To)
			}
			if strings.Join(got, ", ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Of images with random worlds and repositories, the version that we name is the one that apko's resolver installs.
func TestAPKChoiceIsApkos(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func(n int) (versions []string) {
		for range random.IntN(n + 1) {
			versions = append(versions, fmt.Sprintf("%d.%d-r%d", 1+random.IntN(3), random.IntN(3), random.IntN(2)))
		}
		slices.Sort(versions)
		return slices.Compact(versions)
	}
	compared := 0
	for range 2000 {
		main, edge := some(4), some(3)
		rule, tag := "", ""
		if op := []string{"", "<", ">", "<=", ">=", "=", "~"}[random.IntN(7)]; op != "" {
			rule = op + fmt.Sprintf("%d.%d", 1+random.IntN(3), random.IntN(3))
		}
		if random.IntN(2) == 0 {
			tag = "edge"
		}
		want, ok := apkoInstalls(t, main, edge, rule, tag)
		if !ok {
			continue
		}
		compared++
		got := weInstall(main, edge, rule, tag)
		if got != want {
			t.Errorf("main %v, edge %v, world a%s@%s: %s, apko takes %s", main, edge, rule, tag, got, want)
		}
	}
	if compared < 500 {
		t.Errorf("only %d compared", compared)
	}
}

// apkoInstalls is the version of "a" that apko takes for an empty root.
func apkoInstalls(t *testing.T, main, edge []string, rule, tag string) (string, bool) {
	t.Helper()
	named := func(name string, versions []string) apk.NamedIndex {
		ix := &apk.APKIndex{}
		for _, v := range versions {
			ix.Packages = append(ix.Packages, &apk.Package{Name: "a", Version: v, Arch: "x86_64"})
		}
		repo := apk.Repository{URI: "http://h/" + name}
		return apk.NewNamedRepositoryWithIndex(name, repo.WithIndex(ix))
	}
	entry := "a" + rule
	if tag != "" {
		entry += "@" + tag
	}
	resolver := apk.NewPkgResolver(t.Context(), []apk.NamedIndex{named("", main), named("edge", edge)})
	found, _, err := resolver.GetPackagesWithDependencies(context.Background(), []string{entry}, nil)
	if err != nil || len(found) != 1 {
		return "", false
	}
	return found[0].Version, true
}

// weInstall is the version that we would name for an image that has a very old one.
func weInstall(main, edge []string, rule, tag string) string {
	offers := func(versions []string) (pkgs []string) {
		for _, v := range versions {
			pkgs = append(pkgs, "a "+v)
		}
		return pkgs
	}
	var world []string
	if rule != "" {
		world = append(world, "a "+rule)
	}
	if tag != "" {
		world = append(world, "a @"+tag)
	}
	for _, p := range Patches(apkImage(nil, apkPinned(world...), "a 0"), []*Index{apkOffering("", offers(main)...), apkOffering("edge", offers(edge)...)}) {
		if !p.Held {
			return p.To
		}
	}
	return "none"
}

// A new index of ten thousand packages is compared with an image's in little time: choices are made by name.
func BenchmarkAPKChoice(b *testing.B) {
	var offers, installed []string
	for i := range 10_000 {
		offers = append(offers, fmt.Sprintf("p%d 1.%d-r1", i, i))
		if i%50 == 0 {
			installed = append(installed, fmt.Sprintf("p%d 1.%d-r0", i, i))
		}
	}
	ix, inv := []*Index{apkOffering("", offers...)}, apkImage(nil, apkPinned("p0 <2"), installed...)
	for b.Loop() {
		if p := Patches(inv, ix); len(p) != len(installed) {
			b.Fatal(len(p))
		}
	}
}

func TestAPKBegins(t *testing.T) {
	for _, c := range []struct {
		version, with string
		want          bool
	}{
		{"3.6.0", "3.6", true},
		{"3.6.9", "3.6", true},
		{"3.6_pre1", "3.6", true},
		{"3.6.0_pre1", "3.6", true},
		{"3.6.0", "3.6.0", true},
		{"3.60", "3.6", false},
		{"3.6.0", "3.8", false},
		{"3.8", "3.8.1", false},
		{"3.8.0.1", "3.8.1", false},
		{"3.6a", "3.6", true},
		{"3.6-r1", "3.6", true},
		{"3.6-r12", "3.6-r1", false},
		{"3.6_p1", "3.6_p", true},
		{"3.6_pre1", "3.6_p", false},
		{"3.6_rc12", "3.6_rc1", false},
		{"3.6_rc1-r3", "3.6_rc1", true},
		{"3.6.1", "3.6_rc1", false},
	} {
		if got, known := apkBegins(c.version, c.with); got != c.want || !known {
			t.Errorf("%s begins with %s: %v, %v", c.version, c.with, got, known)
		}
	}
	for _, c := range [][2]string{{"", "1"}, {"1", ""}, {"nonsense", "1"}, {"1", "nonsense"}} {
		if _, known := apkBegins(c[0], c[1]); known {
			t.Errorf("%q and %q are versions", c[0], c[1])
		}
	}
}

// "~" with plain numbers means the same to apko. With suffixes it takes more than apk does.
func TestAPKBeginsIsApkos(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(parts ...string) string { return parts[random.IntN(len(parts))] }
	numbers := func() string { return pick("1", "2", "12") + pick("", ".1", ".2", ".12", ".2.1", ".2.12") }
	version := func() string {
		return numbers() + pick("", "", "a", "b") + pick("", "", "_rc", "_rc1", "_rc12", "_p", "_pre", "_p1") + pick("", "-r1", "-r12")
	}
	agreed := map[bool]int{}
	for range 20_000 {
		v, with := version(), numbers()
		theirs, err := apk.ParseVersion(v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := apk.ResolvePackageNameVersionPin("a~" + with).SatisfiedBy(theirs)
		if err != nil {
			t.Fatal(err)
		}
		got, known := apkBegins(v, with)
		if got != want || !known {
			t.Errorf("%s ~ %s: %v, apko says %v", v, with, got, want)
		}
		agreed[got]++
	}
	if agreed[true] < 100 || agreed[false] < 100 {
		t.Errorf("compared: %v", agreed)
	}
}

// What a constraint and a version may be: reading them ends without a panic, a constraint takes the version that it
// names unless it says that it does not, and one of exactly a version takes what compares as equal.
func FuzzAPKMatches(f *testing.F) {
	f.Add("<", "1.2-r0", "1.3")
	f.Add("~", "1", "1.2.3")
	f.Add("><", "Q1=", "1")
	f.Add("=~", "1.0_rc1", "1.0_rc1-r3")
	f.Fuzz(func(t *testing.T, op, bound, version string) {
		if strings.Trim(op, "<>=~") != "" || strings.HasPrefix(bound, "<") || len(bound) > 100 || len(version) > 100 {
			return
		}
		matches, known := apkMatches(op+bound, version)
		if matches && !known {
			t.Error("it matches, and that is not known")
		}
		order, err := patch.Compare(inventory.APK, version, bound)
		if known && err == nil && op == "=" && bound == strings.TrimLeft(bound, "<>=~") && matches != (order == 0) {
			t.Errorf("%s%s takes %s: %v, they compare as %d", op, bound, version, matches, order)
		}
		world := readWorld(apkPinned("a " + op + bound))
		inverse := readWorld(apkPinned("a !" + op + bound))
		if strings.ContainsAny(op+bound, " ") {
			return
		}
		if known && op != "" && world.allows("a", version) == inverse.allows("a", version) {
			t.Errorf("%s%s and its contrary say the same of %s", op, bound, version)
		}
	})
}

func TestAPKRegressedLooksAtTheNewest(t *testing.T) {
	at := func(versions ...string) map[string][]offer {
		var offers []offer
		for i, v := range versions {
			offers = append(offers, offer{version: v, published: time.Unix(int64(i), 0).UnixMilli()})
		}
		return map[string][]offer{"a": offers}
	}
	for _, c := range []struct {
		before, after map[string][]offer
		refused       bool
	}{
		{at("1"), at("1"), false},
		{at("1", "2"), at("2"), false},
		{at("2", "1"), at("1"), true},
		{nil, at("1"), false},
		{at("1"), nil, false},
		{at("2"), at("3", "1"), false},
	} {
		if err := (apkFamily{}).regressed(c.before, c.after); (err != nil) != c.refused {
			t.Errorf("%v to %v: %v", c.before, c.after, err)
		}
	}
}
