package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/catalog"
	"rebuilder/internal/inventory"
	"rebuilder/internal/registry"
)

// inventoryRounds is how often both ways of reading are timed, in turn.
const inventoryRounds = 5

// measureInventory compares reading what is in the demo's upstream image with the least that anybody could do with its
// layers: decompress and untar them, and throw everything away. Both read the same bytes from memory.
func measureInventory(ctx context.Context, s *scene) ([]Measure, error) {
	c, err := catalog.Load(s.Catalog)
	if err != nil {
		return nil, err
	}
	if len(c.Upstreams) == 0 {
		return nil, fmt.Errorf("%s has no upstream image", s.Catalog)
	}
	img, err := held(ctx, c.Upstreams[0].Image)
	if err != nil {
		return nil, err
	}
	var ours, plain []float64
	for range inventoryRounds {
		began := time.Now()
		if _, err := inventory.Read(ctx, img, ""); err != nil {
			return nil, err
		}
		ours = append(ours, time.Since(began).Seconds())
		began = time.Now()
		if err := untar(img); err != nil {
			return nil, err
		}
		plain = append(plain, time.Since(began).Seconds())
	}
	ratio := slices.Min(ours) / slices.Min(plain) // what else runs on the machine only ever adds
	return []Measure{atMost(2, "inventory of the upstream image, to plain gunzip and untar", ratio, "times")}, nil
}

// untar is the peer.
func untar(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := untarLayer(l); err != nil {
			return err
		}
	}
	return nil
}

func untarLayer(l v1.Layer) error {
	compressed, err := l.Compressed()
	if err != nil {
		return err
	}
	defer compressed.Close()
	z, err := gzip.NewReader(compressed)
	if err != nil {
		return err
	}
	t := tar.NewReader(z)
	for {
		if _, err := t.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, t); err != nil {
			return err
		}
	}
}

// heldImage is an image whose layers are in memory.
type heldImage struct {
	v1.Image
	layers []v1.Layer
}

// Layers implements v1.Image.
func (h heldImage) Layers() ([]v1.Layer, error) { return h.layers, nil }

type heldLayer struct {
	v1.Layer
	data []byte
}

// Compressed implements v1.Layer.
func (h heldLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(h.data)), nil
}

// held reads an image from the world's registry.
func held(ctx context.Context, ref string) (v1.Image, error) {
	client, err := registry.New(registry.Config{})
	if err != nil {
		return nil, err
	}
	img, err := client.Image(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if _, err := img.ConfigFile(); err != nil { // the image keeps what it has read
		return nil, err
	}
	h := heldImage{Image: img}
	for _, l := range layers {
		data, err := compressed(l)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", ref, err)
		}
		h.layers = append(h.layers, heldLayer{l, data})
	}
	return h, nil
}

func compressed(l v1.Layer) ([]byte, error) {
	const most = 1 << 30 // the demo's upstream is far smaller
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}
