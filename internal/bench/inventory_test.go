package main

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/inventory"
)

// TestHeld reads an image after its registry has gone, both ways.
func TestHeld(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/upstream:1")
	if err != nil {
		t.Fatal(err)
	}
	source, err := random.Image(1000, 2)
	if err == nil {
		source, err = mutate.Config(source, v1.Config{}) // which fills in what an image must say of itself
	}
	if err == nil {
		err = remote.Write(ref, source)
	}
	if err != nil {
		t.Fatal(err)
	}
	img, err := held(t.Context(), ref.String())
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	for range 2 {
		if err := untar(img); err != nil {
			t.Error(err)
		}
		if inv, err := inventory.Read(t.Context(), img, ""); err != nil || len(inv.DiffIDs) != 2 || inv.Size == 0 {
			t.Errorf("%+v, %v", inv, err)
		}
	}
}

func TestUntarOfAHalf(t *testing.T) {
	layer, err := random.Layer(1000, "application/vnd.oci.image.layer.v1.tar+gzip")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := compressed(layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := untarLayer(heldLayer{layer, whole}); err != nil {
		t.Error(err)
	}
	for _, data := range [][]byte{whole[:len(whole)/2], bytes.Repeat([]byte("x"), 100)} {
		if err := untarLayer(heldLayer{layer, data}); err == nil {
			t.Errorf("%d damaged bytes are no error: the peer would have less to do", len(data))
		}
	}
}
