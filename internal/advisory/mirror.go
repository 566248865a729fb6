package advisory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	manySingly = 500 // records that are not read singly when all.zip has them
	mostSingly = 2000
	mostLost   = 20 // records in a row that cannot be had: the server is down
)

// fromURL reads a zip file, or the directories of a mirror.
func (l *look) fromURL(ctx context.Context) error {
	if !l.s.mirror() {
		const all = "all.zip"
		now, err := l.b.download(ctx, l.s.URL, l.was.Files[all], func(path string) error { return l.archive(ctx, path, all, nil) })
		if errors.Is(err, errSame) {
			l.in.keep(all)
			err = nil
		}
		l.next.Files[all] = now
		return err
	}
	for _, e := range l.s.Ecosystems {
		err := l.ecosystem(ctx, e)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the others are read all the same
			l.partly = append(l.partly, fmt.Errorf("%s: %w", e, err))
			l.in.keep(e)
			l.next.Files[e] = l.was.Files[e]
			l.next.Half = append(l.next.Half, e)
		}
	}
	return nil
}

// ecosystem reads one directory of a mirror: its list says which records there are, and since when each is as it is.
func (l *look) ecosystem(ctx context.Context, name string) error {
	list, now, err := read(ctx, l.b.client, l.address(name, "modified_id.csv"), l.was.Files[name], maxIndex)
	if errors.Is(err, errSame) {
		l.in.keep(name)
		l.next.Files[name] = now
		return nil
	}
	if err != nil {
		return err
	}
	there, err := modified(list)
	if err != nil {
		return err
	}
	missing := map[string]string{} // by id
	for id, at := range there {
		path := name + "/" + id
		l.in.have[path] = true
		if !l.in.same(path, at) {
			missing[id] = at
		}
	}
	if len(missing) > manySingly {
		if err := l.all(ctx, name, missing); err != nil {
			return err
		}
	}
	whole, err := l.singly(ctx, name, missing)
	if whole {
		l.next.Files[name] = now
	}
	return err
}

func (l *look) address(ecosystem, file string) string {
	u, err := url.Parse(l.s.URL)
	if err != nil {
		return ""
	}
	return u.JoinPath(url.PathEscape(ecosystem), url.PathEscape(file)).String()
}

// all reads what is missing from all.zip, and leaves what is older there than the list says.
func (l *look) all(ctx context.Context, name string, missing map[string]string) error {
	_, err := l.b.download(ctx, l.address(name, "all.zip"), seen{}, func(path string) error {
		return l.archive(ctx, path, name, func(member string, open func() ([]byte, error)) error {
			id := strings.TrimSuffix(member, ".json")
			at, ok := missing[id]
			if !ok {
				return ctx.Err()
			}
			raw, err := open()
			if err != nil || older(raw, at) {
				return ctx.Err() // it is asked for singly
			}
			delete(missing, id)
			return l.in.put(ctx, name+"/"+id, at, raw, nil)
		})
	})
	return err
}

// singly reads what is missing, a record a request; whole says that nothing is missing any more.
func (l *look) singly(ctx context.Context, name string, missing map[string]string) (whole bool, err error) {
	lost := 0
	for n, id := range slices.Sorted(maps.Keys(missing)) {
		if n == mostSingly {
			l.b.log.InfoContext(ctx, "more advisories changed than are read at once", "source", l.s.Name, "ecosystem", name, "left", len(missing)-n)
			l.next.Half = append(l.next.Half, name)
			return false, nil
		}
		raw, _, err := read(ctx, l.b.client, l.address(name, id+".json"), seen{}, maxRecord)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		mark := missing[id]
		if err != nil {
			if lost++; lost >= mostLost {
				return false, err
			}
			mark = "" // it is asked for again
		} else {
			lost = 0
			delete(missing, id)
		}
		if err := l.in.put(ctx, name+"/"+id, mark, raw, err); err != nil {
			return false, err
		}
	}
	return len(missing) == 0, nil
}

// modified reads a mirror's list: a line for each record, with when it was changed last, the newest first.
func modified(list []byte) (map[string]string, error) {
	out := map[string]string{}
	n := 0
	for text := range bytes.Lines(list) {
		n++
		at, id, ok := strings.Cut(strings.TrimSpace(string(text)), ",")
		if at == "" && !ok {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, at)
		if !ok || err != nil || id == "" || len(id) > maxName || strings.ContainsAny(id, "/\\?#%") || strings.HasPrefix(id, ".") {
			return nil, fmt.Errorf("modified_id.csv:%d: %.80q is no date and id", n, text)
		}
		if _, ok := out[id]; !ok {
			out[id] = t.UTC().Format(time.RFC3339Nano)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("modified_id.csv names no record")
	}
	if len(out) > maxFiles {
		return nil, errTooMany
	}
	return out, nil
}

// older says that a record is not yet what the list says of it.
func older(raw []byte, at string) bool {
	var r struct {
		Modified time.Time `json:"modified"`
	}
	if json.Unmarshal(raw, &r) != nil {
		return false // broken it is, wherever it comes from
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	return err == nil && r.Modified.Truncate(time.Second).Before(t.Truncate(time.Second))
}
