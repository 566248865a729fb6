package inventory

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
)

// cut is a layer whose registry goes away in the middle of it.
type cut struct {
	v1.Layer
	blob []byte
}

var errGone = errors.New("connection reset by peer")

func (c cut) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(c.blob[:len(c.blob)/2]), iotest.ErrReader(errGone))), nil
}

// What an image is to blame for is told from what its registry is.
func TestWhoIsToBlame(t *testing.T) {
	plain := zeros(t, 1<<20)
	for name, blob := range map[string][]byte{"not compressed": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		whole := packedLayer(t, blob, plain)
		_, err := Read(t.Context(), on(t, empty.Image, cut{whole, blob}), "")
		if fetch := new(FetchError); !errors.As(err, &fetch) || !errors.Is(err, errGone) {
			t.Errorf("%s, the registry goes away: %v", name, err)
		}
		_, err = Read(t.Context(), on(t, empty.Image, packedLayer(t, blob[:len(blob)/2], plain)), "")
		if fetch := new(FetchError); err == nil || errors.As(err, &fetch) {
			t.Errorf("%s, it ends too early: %v", name, err)
		}
	}
}
