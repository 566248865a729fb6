package observe_test

import (
	"context"
	"strings"
	"testing"
)

// counted counts the files that are read of a forge.
type counted struct {
	forge
	reads *int
}

func (c counted) ReadFile(ctx context.Context, repo, commit, path string) ([]byte, error) {
	src, err := c.forge.ReadFile(ctx, repo, commit, path)
	if err == nil {
		*c.reads++
	}
	return src, err
}

// A Dockerfile is read once a commit, and as often as it is built in another way.
func TestAnApplicationAtRestIsNotReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reads := 0
	at := func(src string) {
		w.obs.Forge = counted{forge{"acme/web/Dockerfile": strings.ReplaceAll(src, "HOST", w.host)}, &reads}
	}
	w.twoBases()
	for _, x := range []struct {
		name, src, args string
		reads           int
		names           string
	}{
		{"at first", "ARG BASE=python\nFROM HOST/base/$BASE:stable\n", "", 1, "base/python"},
		{"at rest", "ARG BASE=python\nFROM HOST/base/$BASE:stable\n", "", 0, "base/python"},
		{"another commit", "ARG BASE=debian\nFROM HOST/base/$BASE:stable\n", "", 1, "base/debian"},
		{"another build argument", "ARG BASE=debian\nFROM HOST/base/$BASE:stable\n", "args = { BASE = \"python\" }\n", 1, "base/python"},
		{"a file that cannot be read", "FROM\n", "", 1, ""},
		{"which is tried again", "FROM\n", "", 1, ""},
		{"back to the first, which was let go", "ARG BASE=python\nFROM HOST/base/$BASE:stable\n", "", 1, "base/python"},
	} {
		at(x.src)
		c := w.catalog(twoBases + oneApplication + x.args)
		reads = 0
		a := w.look(c).Facts.Applications["web"]
		if reads != x.reads {
			t.Errorf("%s: %d files were read, want %d", x.name, reads, x.reads)
		}
		if x.names == "" && a.Problem == "" || x.names != "" && (len(a.References) != 1 || a.References[0].Base != x.names) {
			t.Errorf("%s: %+v", x.name, a)
		}
	}
}
