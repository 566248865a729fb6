package advisory

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
)

// Document is one file, on disk or at a URL, that is read anew only when it is another. It is not safe for concurrent use.
type Document struct {
	Path, URL string       // one of the two
	Limit     int64        // bytes
	Client    *http.Client // nil: one that repeats what fails

	was seen
}

// Place is where it is, without what may be secret in a URL.
func (d *Document) Place() string {
	if d.URL != "" {
		return shown(d.URL)
	}
	return d.Path
}

// Read returns the content; changed is false, and there is none, when it is as it was when it was read last.
func (d *Document) Read(ctx context.Context) (content []byte, changed bool, err error) {
	from := d.fromDisk
	if d.URL != "" {
		from = d.fromURL
	}
	content, is, err := from(ctx)
	if errors.Is(err, errSame) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	d.was = is
	return content, true, nil
}

func (d *Document) fromURL(ctx context.Context) ([]byte, seen, error) {
	if d.Client == nil {
		d.Client = patient()
	}
	return read(ctx, d.Client, d.URL, d.was, d.Limit)
}

func (d *Document) fromDisk(context.Context) ([]byte, seen, error) {
	info, err := os.Stat(d.Path)
	switch {
	case err != nil:
		return nil, seen{}, err
	case !info.Mode().IsRegular():
		return nil, seen{}, fmt.Errorf("%s is no file", d.Path)
	case onDisk(info) == d.was:
		return nil, seen{}, errSame
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, seen{}, err
	}
	defer f.Close()
	content, err := atMost(f, d.Limit)
	if err != nil {
		return nil, seen{}, fmt.Errorf("%s: %w", d.Path, err)
	}
	return content, onDisk(info), nil
}
