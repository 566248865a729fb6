package watch

import (
	"context"
	"time"

	"rebuilder/internal/inventory"
)

// debian is the family of Debian and what descends from it: InRelease names the Packages files and is signed.
type debian struct{}

func (debian) ask(ctx context.Context, w *Watcher, repo inventory.Repository, before known) ([]byte, validators, error) {
	u, err := releaseURL(repo, "InRelease")
	if err != nil {
		return nil, before.validators, err
	}
	return w.fetch(ctx, u, before.validators, maxRelease)
}

func (debian) open(_ *Watcher, raw []byte, repo inventory.Repository, now time.Time) (head, error) {
	return readRelease(raw, repo.Keys, now)
}

func (debian) regressed(_, _ map[string][]offer) error { return nil } // the date of a release orders states
