package inventory

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// apply streams one layer into the tree and checks its diff id. The tree is of no use after an error.
func (t *tree) apply(ctx context.Context, l v1.Layer, layer int, diffID v1.Hash) error {
	if diffID.Algorithm != "sha256" {
		return fmt.Errorf("only sha256 diff ids can be checked, not %s", diffID.Algorithm)
	}
	compressed, err := l.Compressed()
	if err != nil {
		return &FetchError{err}
	}
	defer compressed.Close()
	plain, err := decompressed(&packedReader{compressed, &t.size})
	if err != nil {
		return err
	}
	defer plain.Close()

	t.layer = layer
	if t.secrets != nil {
		t.secrets.layer = layer
	}
	hash := sha256.New()
	ahead := readAhead(io.TeeReader(&plainReader{&interruptible{ctx: ctx, r: plain}, &t.size}, hash))
	defer func() {
		ahead.stop()
		_ = compressed.Close()
		ahead.wait()
	}()
	if err := t.applyTar(tar.NewReader(ahead), layer); err != nil {
		return err
	}
	// What follows the end of the archive counts for the diff id too.
	if _, err := io.Copy(io.Discard, ahead); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != diffID.Hex {
		return fmt.Errorf("its content has the digest sha256:%s: the image is damaged or forged", got)
	}
	return nil
}

func (t *tree) applyTar(r *tar.Reader, layer int) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) { // insecure paths are cleaned by put
			return fmt.Errorf("tar: %w", err)
		}
		if err := t.put(h, r, layer); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
}

// decompressed finds the compression by its magic number: media types are not always right.
func decompressed(r io.Reader) (io.ReadCloser, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(br)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}

// interruptible ends a long read when its context ends.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// aheadReader runs a reader (here: decompression and the layer's digest) in a goroutine of its own, a few blocks ahead.
type aheadReader struct {
	full chan block
	free chan []byte
	quit chan struct{}
	done chan struct{}

	now block // being read; now.data[off:] is left of it
	off int
}

type block struct {
	data []byte
	err  error
}

const aheadBlocks = 4

func readAhead(r io.Reader) *aheadReader {
	a := &aheadReader{
		full: make(chan block, aheadBlocks),
		free: make(chan []byte, aheadBlocks),
		quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	for range aheadBlocks {
		a.free <- make([]byte, 256<<10)
	}
	go a.fill(r)
	return a
}

// stop ends reading ahead; wait returns when nothing touches the source any more. A source that blocks is unblocked
// by closing it between the two.
func (a *aheadReader) stop() { close(a.quit) }
func (a *aheadReader) wait() { <-a.done }

func (a *aheadReader) fill(r io.Reader) {
	defer close(a.done)
	for {
		var b block
		select {
		case buf := <-a.free:
			b = fullBlock(r, buf)
		case <-a.quit:
			return
		}
		a.full <- b // never blocks: there are as many places as blocks
		if b.err != nil {
			return
		}
	}
}

func fullBlock(r io.Reader, buf []byte) block {
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		if n += m; err != nil {
			return block{buf[:n], err}
		}
	}
	return block{buf, nil}
}

func (a *aheadReader) Read(p []byte) (int, error) {
	for a.off == len(a.now.data) {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.now.data != nil {
			a.free <- a.now.data
		}
		a.now, a.off = <-a.full, 0
	}
	n := copy(p, a.now.data[a.off:])
	a.off += n
	return n, nil
}
