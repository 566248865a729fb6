package advisory

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxFiles   = 2_000_000 // of a source
	maxInflate = 32 << 30  // bytes of all files of a zip, decompressed
)

var errTooMany = fmt.Errorf("there are more than %d files", maxFiles)

// fromPath reads a directory of records and zip files, or one of those.
func (l *look) fromPath(ctx context.Context) error {
	info, err := os.Stat(l.s.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return l.file(ctx, l.s.Path, filepath.Base(l.s.Path), info)
	}
	root, err := filepath.EvalSymlinks(l.s.Path)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(path) // volumes of Kubernetes are made of links to files
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		return l.file(ctx, path, filepath.ToSlash(name), info)
	})
}

// file reads a record or a zip file; anything else is none of ours.
func (l *look) file(ctx context.Context, path, name string, info os.FileInfo) error {
	mark := onDisk(info)
	switch strings.ToLower(filepath.Ext(path)) {
	case ".zip":
		l.next.Files[name] = mark
		if l.was.Files[name] == mark {
			l.in.keep(name)
			return nil
		}
		return l.archive(ctx, path, name, nil)
	case ".json":
		if len(l.in.have) >= maxFiles {
			return errTooMany
		}
		return l.in.take(ctx, name, mark.Stat, func() ([]byte, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return atMost(f, maxRecord)
		})
	}
	return nil
}

// archive reads the records of a zip file, each below the path named. A member's size and checksum say whether it is as it
// was; which, when not nil, says of which there is to be read, by their names.
func (l *look) archive(ctx context.Context, path, below string, which func(member string, open func() ([]byte, error)) error) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("%s: %w", below, err)
	}
	defer z.Close()
	if len(z.File) > maxFiles {
		return fmt.Errorf("%s: %w", below, errTooMany)
	}
	var inflated int64
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !strings.HasSuffix(f.Name, ".json") {
			continue
		}
		open := func() ([]byte, error) {
			raw, err := member(f)
			inflated += int64(len(raw))
			return raw, err
		}
		if which != nil {
			err = which(f.Name, open)
		} else {
			err = l.in.take(ctx, l.unused(below+"/"+f.Name), fmt.Sprintf("%d %08x", f.UncompressedSize64, f.CRC32), open)
		}
		if err == nil && inflated > maxInflate {
			err = fmt.Errorf("%s: its records have more than %d bytes", below, int64(maxInflate))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unused makes a path another one when it was taken already: a zip file may have several members of one name, as AlmaLinux's
// has an advisory of three releases.
func (l *look) unused(path string) string {
	name := path
	for n := 2; l.in.have[name]; n++ {
		name = fmt.Sprintf("%s (%d)", path, n)
	}
	return name
}

func member(f *zip.File) ([]byte, error) {
	if f.UncompressedSize64 > maxRecord {
		return nil, fmt.Errorf("it has more than %d bytes", int64(maxRecord))
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := atMost(r, maxRecord)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is cut off")
	}
	return raw, err
}
