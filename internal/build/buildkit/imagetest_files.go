package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil/types"

	"rebuilder/internal/imagetest"
)

const (
	maxTestedFile = 4 << 20 // bytes of a file whose content is tested
	maxLicenses   = 10_000  // packages whose licences are looked at
)

// licensed are what container-structure-test does not look at.
var licensed = map[string]bool{"libgnutls30": true}

func (s *suiteRun) content(ctx context.Context, o *findings, f imagetest.FileContent) error {
	text, err := s.read(ctx, f.Path)
	if err != nil {
		return err
	}
	o.wrong(f.Problems(text)...)
	return nil
}

// read follows links inside the image. It reads nothing but regular files.
func (s *suiteRun) read(ctx context.Context, file string) (string, error) {
	b, err := s.image.ReadFile(ctx, gateway.ReadRequest{Filename: absolute(file), Range: &gateway.FileRange{Length: maxTestedFile + 1}})
	if err != nil {
		if !strings.Contains(err.Error(), absolute(file)) {
			err = fmt.Errorf("read %s: %w", file, err)
		}
		return "", err
	}
	if len(b) > maxTestedFile {
		return "", fmt.Errorf("read %s: it has more than %d bytes", file, maxTestedFile)
	}
	return string(b), nil
}

func (s *suiteRun) existence(ctx context.Context, o *findings, f imagetest.FileExistence) error {
	f.Path = imagetest.Expand(f.Path, s.env)
	st, err := s.lstat(ctx, f.Path)
	if err != nil {
		return err
	}
	if st == nil {
		o.wrong(f.Problems(nil)...)
		return nil
	}
	o.wrong(f.Problems(&imagetest.Stat{Mode: fs.FileMode(st.Mode), UID: int(st.Uid), GID: int(st.Gid)})...)
	return nil
}

// lstat follows links but for the last part of the path. It returns nil for what is not there.
//
// BuildKit's own StatFile follows the last one, too; its ReadDir does not, and looks at nothing but what it is asked for.
func (s *suiteRun) lstat(ctx context.Context, file string) (*types.Stat, error) {
	file = absolute(file)
	if file == "/" {
		return s.image.StatFile(ctx, gateway.StatRequest{Path: file})
	}
	dir, base := path.Split(file)
	if _, err := s.image.StatFile(ctx, gateway.StatRequest{Path: dir}); err != nil {
		if s.engineLost(err) || ctx.Err() != nil {
			return nil, err
		}
		return nil, nil // no directory, no file
	}
	entries, err := s.image.ReadDir(ctx, gateway.ReadDirRequest{Path: dir, IncludePattern: exactly(base)})
	if err != nil {
		if s.engineLost(err) || ctx.Err() != nil {
			return nil, err
		}
		return nil, nil // what stands above it is no directory
	}
	for _, e := range entries {
		if e.Path == base {
			return e, nil
		}
	}
	return nil, nil
}

// exactly is a pattern that matches name alone.
var exactly = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `!`, `\!`).Replace

func absolute(file string) string { return path.Join("/", file) }

func (s *suiteRun) license(ctx context.Context, o *findings, l imagetest.License) error {
	files := l.Files
	if l.Debian {
		of, err := s.debianLicenses(ctx)
		if err != nil {
			return err
		}
		files = append(of, files...)
	}
	for _, f := range files {
		text, err := s.read(ctx, f)
		switch {
		case err != nil && (ctx.Err() != nil || s.engineLost(err)):
			return err
		case err != nil:
			o.wrong(firstLine(err))
		case l.Forbids(text) != "":
			o.wrong(fmt.Sprintf("%s names the licence %s", f, l.Forbids(text)))
		}
	}
	return nil
}

// debianLicenses are the copyright files of the packages below /usr/share/doc. A directory without one is a problem of
// its own, when it is read.
func (s *suiteRun) debianLicenses(ctx context.Context) (out []string, err error) {
	const doc = "/usr/share/doc"
	entries, err := s.image.ReadDir(ctx, gateway.ReadDirRequest{Path: doc})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", doc, err)
	}
	for _, e := range entries {
		if fs.FileMode(e.Mode).IsDir() && !licensed[e.Path] {
			out = append(out, path.Join(doc, e.Path, "copyright"))
		}
	}
	if len(out) > maxLicenses {
		return nil, errors.New("there are more than 10,000 packages in " + doc)
	}
	return out, nil
}
