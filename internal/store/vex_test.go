package store_test

import (
	"errors"
	"strings"
	"testing"

	"rebuilder/internal/store"
	"rebuilder/internal/store/storetest"
)

func vexOf(id string, version int64, body string) store.VEXDocument {
	return store.VEXDocument{ID: id, Version: version, Author: "vendor", Statements: 2, By: "ada", At: asked.UnixMilli(), Body: body}
}

func TestImportedStatements(t *testing.T) {
	storetest.Both(t, func(t *testing.T, st *store.Store) {
		ctx, q := t.Context(), st.Q()
		put := func(d store.VEXDocument, want bool) {
			t.Helper()
			got, changed, err := store.ImportVEX(ctx, q, d)
			if err != nil || changed != want || got.Version != d.Version || got.By != "ada" {
				t.Errorf("version %d: %+v, changed %v, %v", d.Version, got, changed, err)
			}
		}
		put(vexOf("doc", 1, `{"a":1}`), true)
		again := vexOf("doc", 1, `{"a":1}`)
		again.At++
		put(again, false)
		put(vexOf("doc", 3, `{"a":3}`), true)
		for name, d := range map[string]store.VEXDocument{
			"an earlier version":    vexOf("doc", 2, `{}`),
			"another content":       vexOf("doc", 3, `{}`),
			"no id":                 vexOf("", 1, `{}`),
			"an id without end":     vexOf(strings.Repeat("x", 501), 1, `{}`),
			"somebody without name": {ID: "x", Version: 1, By: " "},
		} {
			var refused store.Refused
			if _, _, err := store.ImportVEX(ctx, q, d); !errors.As(err, &refused) {
				t.Errorf("%s: %v", name, err)
			}
		}
		all, err := store.ListVEX(ctx, q)
		if err != nil || len(all) != 1 || all[0].Version != 3 || all[0].Body != "" || all[0].Statements != 2 {
			t.Errorf("%+v, %v", all, err)
		}
		if d, err := store.GetVEX(ctx, q, "doc"); err != nil || d.Body != `{"a":3}` {
			t.Errorf("%+v, %v", d, err)
		}
		if _, err := store.RemoveVEX(ctx, q, "doc", "bob", "wrong product", asked.UnixMilli()); err != nil {
			t.Error(err)
		}
		if _, err := store.RemoveVEX(ctx, q, "doc", "bob", "again", asked.UnixMilli()); !errors.Is(err, store.ErrNoRows) {
			t.Errorf("removed twice: %v", err)
		}
		put(vexOf("doc", 1, `{"a":1}`), true) // what was removed may come back
		want := []string{
			"ada: import statements: version 1, of vendor, statements: 2", "ada: import statements in the place of version 1: version 3, of vendor, statements: 2",
			"bob: remove statements: version 3: wrong product", "ada: import statements: version 1, of vendor, statements: 2",
		}
		if got := actions(t, st, "doc"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("audit log:\n%s", strings.Join(got, "\n"))
		}
	})
}
