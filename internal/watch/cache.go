package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cached is what survives a restart, beside the head and the files that it names: one file a repository, replaced as a whole.
type cached struct {
	Repository string     `json:"repository"` // for people who look
	Head       string     `json:"head"`       // SHA-256 of the head's bytes, which lie beside
	Validators validators `json:"validators"`
	// Published has the date, epoch milliseconds, of the head that first offered a version, by "name arch version".
	Published map[string]int64 `json:"published"`
}

const stateFile = "state.json"

// loadCached returns nil and no error when there is none.
func loadCached(dir string) (*cached, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var c cached
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// save replaces the state, then removes files that are not in keep.
func (c *cached) save(dir string, keep map[string]bool) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(dir, stateFile), b); err != nil {
		return err
	}
	return tidy(dir, keep)
}

// headFile is where a head lies, by its SHA-256.
func headFile(dir, sum string) string { return filepath.Join(dir, sum+".head") }

func writeHead(dir, sum string, raw []byte) error {
	at := headFile(dir, sum)
	if b, err := os.ReadFile(at); err == nil && bytes.Equal(b, raw) {
		return nil
	}
	return replace(at, raw)
}

// replace puts a file in place as a whole.
func replace(at string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(at), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(b); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), at)
}

// tidy removes old files, and what processes that were killed left behind. What another replica is writing
// stays.
func tidy(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if e.Name() == stateFile || keep[at] || strings.HasPrefix(e.Name(), ".") && recent(e) {
			continue
		}
		_ = os.Remove(at) // another replica may be first
	}
	return nil
}

func recent(e os.DirEntry) bool {
	info, err := e.Info()
	return err == nil && time.Since(info.ModTime()) < time.Hour
}

// keepFor is how long a repository that nobody asks for is remembered: the keys and addresses in images change, and what
// was read by the old ones is of no more use.
const keepFor = 30 * 24 * time.Hour

// forget drops repositories that nobody, on any replica, has asked for in a long time. It looks once a day.
func (w *Watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.forgot) < 24*time.Hour {
		return
	}
	w.forgot = now
	for key, e := range w.entries {
		select {
		case e.sem <- struct{}{}:
			if now.Sub(e.asked) > keepFor {
				delete(w.entries, key)
			}
			e.unlock()
		default: // it is asked right now
		}
	}
	dirs, err := os.ReadDir(w.dir)
	if err != nil {
		w.log.Warn("old package indexes not removed", "dir", w.dir, "err", err)
		return
	}
	for _, d := range dirs {
		info, err := d.Info()
		if err == nil && d.IsDir() && isKey(d.Name()) && w.entries[d.Name()] == nil && now.Sub(info.ModTime()) > keepFor {
			_ = os.RemoveAll(filepath.Join(w.dir, d.Name())) // another replica may be first
		}
	}
}
