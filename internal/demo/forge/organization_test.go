package forge_test

import (
	"slices"
	"testing"

	"github.com/google/go-github/v57/github"
)

// names lists acme's repositories, two a page, with their numbers.
func (w *world) names() (names []string, ids map[string]int64) {
	w.t.Helper()
	ids = map[string]int64{}
	options := &github.RepositoryListByOrgOptions{Sort: "created", Direction: "asc", ListOptions: github.ListOptions{PerPage: 2}}
	for {
		page, resp, err := w.client.Repositories.ListByOrg(w.t.Context(), "acme", options)
		w.must(err)
		for _, r := range page {
			names = append(names, r.GetFullName())
			ids[r.GetFullName()] = r.GetID()
		}
		if options.Page = resp.NextPage; options.Page == 0 {
			return names, ids
		}
	}
}

func TestAnOrganizationChanges(t *testing.T) {
	w := start(t, t.TempDir(), nil)
	for _, name := range []string{"b", "a", "c"} {
		w.must(w.forge.AddRepository("acme", name, map[string][]byte{"Dockerfile": []byte("FROM scratch\n")}))
	}
	w.must(w.forge.AddRepository("other", "x", nil))
	names, ids := w.names()
	if !slices.Equal(names, []string{"acme/web", "acme/b", "acme/a", "acme/c"}) {
		t.Fatalf("got %q", names)
	}
	w.must(w.forge.RenameRepository("acme", "b", "better"))
	w.must(w.forge.RemoveRepository("acme", "a"))
	w.must(w.forge.ArchiveRepository("acme", "c"))
	renamed, now := w.names()
	if !slices.Equal(renamed, []string{"acme/web", "acme/better", "acme/c"}) || now["acme/better"] != ids["acme/b"] {
		t.Errorf("got %q", renamed)
	}
	w.get("//repos/acme/better/git/trees/main")
	c, _, err := w.client.Repositories.Get(t.Context(), "acme", "c")
	w.must(err)
	if !c.GetArchived() {
		t.Error("it is not shown as archived")
	}
	for _, err := range []error{w.forge.RenameRepository("acme", "c", "web"), w.forge.RenameRepository("acme", "c", "../c"), w.forge.RemoveRepository("acme", "a")} {
		if err == nil {
			t.Error("it was done")
		}
	}
}
