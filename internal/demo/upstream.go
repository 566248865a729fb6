package demo

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// upstream is the distribution's image: a root file system and, in a layer of its own, where its packages come from.
type upstream struct {
	rootFS      string // gzipped tar file
	codename    string
	arch        string
	packagesURL string
	key         []byte // the package repository's
	created     time.Time
	extra       map[string][]byte // more files of the second layer, by path without leading slash
}

func (u upstream) image() (v1.Image, error) {
	root, err := tarball.LayerFromFile(u.rootFS, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("read root file system: %w", err)
	}
	sources, err := u.sourcesLayer()
	if err != nil {
		return nil, err
	}
	created := v1.Time{Time: u.created.UTC()}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: u.arch, OS: "linux", Created: created,
		RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cmd: []string{"bash"},
		},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(img,
		mutate.Addendum{Layer: root, History: v1.History{Created: created, CreatedBy: "minimal system, " + u.codename + " main"}},
		mutate.Addendum{Layer: sources, History: v1.History{Created: created, CreatedBy: "package sources"}},
	)
}

func (u upstream) sourcesLayer() (v1.Layer, error) {
	files := map[string][]byte{
		"etc/apt/sources.list.d/demo.sources": fmt.Appendf(nil,
			"Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /etc/apt/keyrings/demo.gpg\n", u.packagesURL, u.codename),
		"etc/apt/keyrings/demo.gpg": u.key,
	}
	for name, data := range u.extra {
		files[name] = data
	}
	data, err := tarOf(files, u.created)
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		tarball.WithMediaType(types.OCILayer))
}

// tarOf packs files, sorted, owned by root.
func tarOf(files map[string][]byte, modified time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range sortedKeys(files) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: modified.Truncate(time.Second), Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// installed returns the files that make dpkg take a package for installed: for the package that the demo makes when the
// distribution has no update.
func installed(statusFile, control, name string, content map[string]string) (map[string][]byte, error) {
	status, err := os.ReadFile(statusFile)
	if err != nil {
		return nil, err
	}
	stanza := strings.Replace(control, "\n", "\nStatus: install ok installed\n", 1)
	files := map[string][]byte{
		"var/lib/dpkg/status": append(append(bytes.TrimRight(status, "\n"), "\n\n"...), stanza+"\n"...),
	}
	list := "/.\n"
	for _, path := range sortedKeys(content) {
		files[strings.TrimPrefix(path, "/")] = []byte(content[path])
		list += path + "\n"
	}
	files["var/lib/dpkg/info/"+name+".list"] = []byte(list)
	return files, nil
}
