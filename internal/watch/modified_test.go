package watch

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLastModified(t *testing.T) {
	const noon = "Sat, 21 Nov 2026 12:00:00 GMT"
	for _, c := range []struct{ modified, date, want string }{
		{noon, "Sat, 21 Nov 2026 12:01:00 GMT", noon},
		{noon, "Sun, 22 Nov 2026 12:00:00 GMT", noon},
		{noon, "Sat, 21 Nov 2026 12:00:59 GMT", ""},
		{noon, noon, ""},
		{noon, "Sat, 21 Nov 2026 11:00:00 GMT", ""},
		{noon, "", ""},
		{"", noon, ""},
		{"yesterday", noon, ""},
	} {
		h := http.Header{"Last-Modified": {c.modified}, "Date": {c.date}}
		if got := lastModified(h); got != c.want {
			t.Errorf("modified %q, answered %q: %q, want %q", c.modified, c.date, got, c.want)
		}
	}
}

// A server that knows no ETag, and a repository that changes twice within a second: the second change is seen.
func TestTwoChangesInASecond(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(srv.Close)
	at := time.Now().Truncate(time.Second)
	put := func(p pkg) {
		w.publish(suite{}, p)
		for _, name := range []string{"dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages.gz"} {
			to := filepath.Join(dir, name)
			w.write(to, w.get(name))
			if err := os.Chtimes(to, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	repo := w.repo()
	repo.URI = srv.URL
	d := w.watcher(t.TempDir())
	for _, version := range []string{"1", "2"} {
		put(pkg("a " + version))
		if got := state(t, d, repo).Versions("a"); len(got) != 1 || got[0] != version {
			t.Errorf("versions %v, want %s", got, version)
		}
		w.later(time.Hour)
	}
}
