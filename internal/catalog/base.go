package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tests reads the files of a base's tests. They lie beside the catalog, so that they are reviewed with it.
func (r *reader) tests(t *table, b *Base) {
	files, at := t.words("tests", "tests/debian.yaml")
	for i, given := range files {
		file := r.absolute(given)
		switch info, err := os.Stat(file); {
		case !filepath.IsLocal(given):
			t.add(at[i], "put the file below the directory of the catalog and write its path from there", "%s: %q leads out of the catalog's directory", t.name, given)
		case err != nil || !info.Mode().IsRegular():
			t.add(at[i], r.otherTest(given), "%s has no tests in %q", t.name, given)
		default:
			b.Tests = append(b.Tests, file)
		}
	}
}

// otherTest is a hint: the file that was most likely meant.
func (r *reader) otherTest(given string) string {
	if n := nearest(filepath.Base(given), namesIn(filepath.Dir(r.absolute(given)), false)); n != "" {
		return "did you mean " + quoted(filepath.ToSlash(filepath.Join(filepath.Dir(given), n))) + "?"
	}
	return "create the file, or correct the path: it is relative to the catalog's directory"
}

// mostTrials bounds how many applications are built before one base is promoted: each takes the time of a build.
const mostTrials = 100

// trial reads which applications are built on a candidate: a number of them, or their images by name.
func (r *reader) trial(t *table, b *Base) {
	v, ok := t.get("trial")
	if !ok {
		return
	}
	switch v := v.(type) {
	case int64:
		if v < 1 || v > mostTrials {
			t.wrong("trial", fmt.Sprintf("a number from 1 to %d; without the line none is built", mostTrials), ": trial cannot be %d", v)
			return
		}
		b.TrialCount = int(v)
	case []any:
		images, at := t.words("trial", "web")
		b.Trial = images
		name := t.name
		r.later = append(r.later, func() { r.trialImages(t, name, images, at) })
	default:
		t.wrongType("trial", "a number or a list of texts", `2, or as trial = ["web"]`)
	}
}

// trialImages notes what is no image of an application.
func (r *reader) trialImages(t *table, name string, images []string, at []span) {
	var known []string
	for _, a := range r.catalog.Applications {
		for _, img := range a.Images {
			known = append(known, img.Name)
		}
	}
	for i, s := range images {
		if slices.Contains(known, s) {
			continue
		}
		hint := "write how many are to be picked, trial = 2, or name the images of applications that this catalog has"
		if n := nearest(s, known); n != "" {
			hint = "did you mean " + quoted(n) + "?"
		}
		t.add(at[i], hint, "%s: %q is no image of an application", name, s)
	}
}

// buildSecrets reads where the secrets of a build are. A text in place of a table is most likely the secret itself.
func (r *reader) buildSecrets(t *table) map[string]BuildSecret {
	v, ok := t.get("secrets")
	if !ok {
		return nil
	}
	tables, ok := v.(map[string]any)
	if !ok {
		if s, isText := v.(string); isText {
			t.hide(s, t.value("secrets"), "secrets")
			return nil
		}
		t.wrongType("secrets", "a table", `{ npm = { env = "NPM_TOKEN" } }`)
		return nil
	}
	out := make(map[string]BuildSecret, len(tables))
	for id, v := range tables {
		at := t.at.of("secrets").of(id)
		data, ok := v.(map[string]any)
		if s, isText := v.(string); isText {
			t.hide(s, at.value, id)
			continue
		} else if !ok {
			t.add(at.value, fmt.Sprintf(`write it as %s = { env = "NPM_TOKEN" }`, id), "%s: the secret %q must be a table, not %s", t.name, id, kindOf(v))
			continue
		}
		if !entryName.MatchString(id) {
			t.add(at.key, `letters, digits and - . _, as in RUN --mount=type=secret,id=npm`, "%s: %q cannot be the id of a secret", t.name, id)
		}
		out[id] = r.buildSecret(&table{notes: t.notes, name: fmt.Sprintf("the secret %q of %s", id, t.name), path: "base.secrets", data: data, at: at, accepted: t.accepted})
	}
	return out
}

func (r *reader) buildSecret(t *table) BuildSecret {
	s := BuildSecret{Env: r.variable(t, "env"), File: t.text("file")}
	t.end()
	switch {
	case t.has("env") && t.has("file"):
		t.wrong("file", "keep the one that you use", ": both env and file are given")
	case !t.has("env") && !t.has("file"):
		t.add(t.at.key, `write env = "NPM_TOKEN", the name of the environment variable that holds it, or file = "/run/secrets/npm"`, "%s is nowhere", t.name)
	case strings.TrimSpace(s.File) != "":
		s.File = r.absolute(s.File)
	}
	return s
}
