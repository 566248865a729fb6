package buildkit

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"rebuilder/internal/build"
)

// rewritten is BuildKit's label of a layer whose times it has bounded.
const rewritten = "buildkit/rewritten-timestamp"

// checkTimes makes sure that nothing in the layers that a build added is younger than epoch: BuildKit says in its log only
// that it could not bound the times of one, and goes on.
func checkTimes(ctx context.Context, c *client.Client, made v1.Hash, epoch time.Time, materials []build.Material) error {
	var manifest ocispecs.Manifest
	if err := readJSON(ctx, c, digest.Digest(made.String()), &manifest); err != nil {
		return notKept(err)
	}
	image, err := imageConfig(ctx, c, made.Hex)
	if err != nil || image == nil {
		return err
	}
	inherited, err := layersBelow(ctx, c, image, materials)
	if err != nil {
		return err
	}
	for _, l := range manifest.Layers[min(inherited, len(manifest.Layers)):] {
		late, err := youngerIn(ctx, c, l, epoch)
		if err != nil {
			return fmt.Errorf("read layer %s: %w", l.Digest, err)
		}
		if late != "" {
			return fmt.Errorf("the build is not reproducible: %s in layer %s is younger than %s, as the engine could not write the layer anew; its log says why", late, l.Digest, epoch.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// layersBelow is how many layers of an image are those of the image that it stands on.
func layersBelow(ctx context.Context, c *client.Client, image *ocispecs.Image, materials []build.Material) (n int, err error) {
	for _, m := range materials {
		if _, taken := imageMaterial(m); taken == nil {
			continue
		}
		below, err := imageConfig(ctx, c, m.Digest["sha256"])
		if err != nil {
			return 0, err
		}
		if below != nil && standsOn(image.RootFS.DiffIDs, below.RootFS.DiffIDs) {
			n = max(n, len(below.RootFS.DiffIDs))
		}
	}
	return n, nil
}

// youngerIn is the first file of a layer that is younger than epoch; empty when there is none, or the engine has bounded them.
// A layer that it does not keep came from elsewhere as it is.
func youngerIn(ctx context.Context, c *client.Client, layer ocispecs.Descriptor, epoch time.Time) (string, error) {
	store := proxy.NewContentStore(c.ContentClient())
	info, err := store.Info(ctx, layer.Digest)
	if err != nil {
		return "", notKept(err)
	}
	if info.Labels[rewritten] == fmt.Sprint(epoch.UTC().Unix()) {
		return "", nil
	}
	r, err := store.ReaderAt(ctx, layer)
	if err != nil {
		return "", err
	}
	defer r.Close()
	plain, err := gzip.NewReader(content.NewReader(r)) // as we have it write all layers
	if err != nil {
		return "", err
	}
	defer plain.Close()
	return younger(plain, epoch)
}

// younger is the first file of a tar that is younger than epoch.
func younger(r io.Reader, epoch time.Time) (string, error) {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if h.ModTime.After(epoch) {
			return h.Name, nil
		}
	}
}
