package plan

import (
	"testing"

	"rebuilder/internal/patch"
)

func TestTitle(t *testing.T) {
	pkg := func(name string) Patch { return Patch{Patch: patch.Patch{Package: name, From: "1", To: "2"}} }
	step := func(image string, cause Cause, patches ...Patch) Step {
		return Step{Image: image, Cause: cause, Reasons: []string{"its recipe changed"}, Patches: patches}
	}
	for want, p := range map[string]Plan{
		"nothing to do":                              {},
		"a 1 -> 2 in x":                              {Cause: CausePackage, Steps: []Step{step("x", CausePackage, pkg("a")), step("y", CauseParent, pkg("a"))}},
		"a 1 -> 2 in x, and 1 more package":          {Cause: CausePackage, Steps: []Step{step("x", CausePackage, pkg("a"), pkg("b"))}},
		"a 1 -> 2 in x, and 2 more images":           {Cause: CausePackage, Steps: []Step{step("x", CausePackage, pkg("a")), step("y", CausePackage, pkg("a")), step("z", CausePackage, pkg("a"))}},
		"a 1 -> 2 in x, 2 more packages in 2 images": {Cause: CausePackage, Steps: []Step{step("x", CausePackage, pkg("a"), pkg("b")), step("y", CausePackage, pkg("c"))}},
		"x: its recipe changed":                      {Cause: CauseRecipe, Steps: []Step{step("y", CauseParent), step("x", CauseRecipe)}},
		"x: its recipe changed, and 1 more image":    {Cause: CauseRecipe, Steps: []Step{step("x", CauseRecipe), step("y", CauseRecipe)}},
	} {
		if got := title(&p); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
