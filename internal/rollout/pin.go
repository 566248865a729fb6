package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"rebuilder/internal/catalog"
	"rebuilder/internal/notify"
	"rebuilder/internal/pin"
	"rebuilder/internal/plan"
	"rebuilder/internal/store"
)

// pin adds to files those that say what runs, with the wanted digests. What cannot be pinned there stays: the Dockerfiles
// are what an image is made from.
func (r *Runner) pin(ctx context.Context, app catalog.Application, commit string, named []plan.Reference, wants map[string]string, files map[string][]byte) ([]line, error) {
	owner := "owner of " + app.Repository
	known := map[string]string{} // reference without digest -> base
	for _, ref := range named {
		known[ref.Reference] = ref.Base
	}
	var lines []line
	for _, path := range app.Files {
		src, err := r.forge.ReadFile(ctx, app.Repository, commit, path)
		if errors.Is(err, notify.ErrNotFound) {
			return nil, &failure{State: store.Blocked, Reason: fmt.Sprintf("%s has no %s", app.Repository, path), Who: owner}
		}
		if err != nil {
			return nil, err
		}
		f, err := pin.Parse(path, src)
		if err != nil {
			return nil, &failure{State: store.Blocked, Reason: err.Error(), Who: owner}
		}
		out, err := f.Pin(func(ref pin.Reference) string {
			name, _, _ := strings.Cut(ref.Name, "@")
			base := known[name]
			want := wants[base]
			if want == "" || !ref.Rewritable || ref.Digest() == want {
				return ""
			}
			lines = append(lines, line{File: path, Line: ref.Line, From: ref.Name, To: name + "@" + want, Base: base})
			return want
		})
		if err != nil {
			return nil, &failure{State: store.Blocked, Reason: err.Error(), Who: owner}
		}
		if string(out) != string(src) {
			files[path] = out
		}
	}
	return lines, nil
}
