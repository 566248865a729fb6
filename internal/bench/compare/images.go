package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// pack makes an image of a root file system, of one layer, in OCI layout, unless it is there. What is in the directory
// without, if any is named, is left out.
func pack(root, dir, without string) (v1.Image, error) {
	if p, err := layout.FromPath(dir); err == nil {
		index, err := p.ImageIndex()
		if err != nil {
			return nil, err
		}
		m, err := index.IndexManifest()
		if err != nil {
			return nil, err
		}
		return p.Image(m.Manifests[0].Digest)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return open(root, without) }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.ConfigFile(img, &v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}); err != nil {
		return nil, err
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, err
	}
	return img, p.AppendImage(img)
}

// open is a root file system without a directory.
func open(root, without string) (io.ReadCloser, error) {
	f, err := os.Open(root)
	if err != nil || without == "" {
		return f, err
	}
	r, w := io.Pipe()
	go func() {
		defer f.Close()
		w.CloseWithError(leaveOut(w, f, without))
	}()
	return r, nil
}

func leaveOut(w io.Writer, r io.Reader, dir string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if strings.HasPrefix(path.Clean("/"+h.Name)+"/", "/"+dir+"/") {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}
