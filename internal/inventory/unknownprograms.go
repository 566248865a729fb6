package inventory

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bounds of the programs that are looked into. What exceeds them is named, not refused.
const (
	maxPrograms = 16       // different ones of an image
	maxProgram  = 64 << 20 // bytes of one, held while it is looked into
)

// program is one executable file of an image without packages, under all its names.
type program struct {
	names   []string
	sum     [sha256.Size]byte
	layer   int    // the lowest that wrote it
	elf     bool   // it is one, not a script or data that may be executed
	large   bool   // larger than maxProgram
	golang  string // "Go 1.22.1" when Go built it
	modules int    // its own one included
}

// programsOf finds the programs of an image. Their bytes are not kept while layers are read, as only few images are
// asked: the layers that have some are read once more. Those of an image with a great many are named by their mode alone.
func programsOf(ctx context.Context, t *tree, layers []v1.Layer) ([]*program, error) {
	bySum := map[[sha256.Size]byte]*program{}
	t.root.executables("/", bySum)
	var all []*program
	for _, p := range bySum {
		all = append(all, p)
	}
	if all = sorted(all); len(all) > maxPrograms {
		return all, nil
	}
	// What is not found in its own layer is a link to what a lower one has.
	wanted := map[[sha256.Size]byte]*program{}
	for i, l := range slices.Backward(layers) {
		for _, p := range all {
			if p.layer == i {
				wanted[p.sum] = p
			}
		}
		if err := lookInto(ctx, l, wanted); err != nil {
			return nil, fmt.Errorf("programs of layer %d: %w", i, err)
		}
	}
	kept := all[:0]
	for _, p := range all {
		if p.elf {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// executables gathers the files below a directory that may be executed, by content.
func (n *node) executables(at string, found map[[sha256.Size]byte]*program) {
	for base, child := range n.children {
		name := path.Join(at, base)
		switch {
		case child.typ == tar.TypeDir:
			child.executables(name, found)
		case child.typ == tar.TypeReg && child.mode&0o111 != 0:
			p := found[child.sum]
			if p == nil {
				p = &program{sum: child.sum, layer: child.layer}
				found[child.sum] = p
			}
			p.names, p.layer = append(p.names, name), min(p.layer, child.layer)
		}
	}
}

// lookInto reads a layer until nothing is wanted any more, and takes away from that what it found. The layer's digest was checked before; here each program is
// known by its own.
func lookInto(ctx context.Context, l v1.Layer, wanted map[[sha256.Size]byte]*program) error {
	if len(wanted) == 0 {
		return nil
	}
	compressed, err := l.Compressed()
	if err != nil {
		return err
	}
	defer compressed.Close()
	plain, err := decompressed(compressed)
	if err != nil {
		return err
	}
	defer plain.Close()
	for r := tar.NewReader(&interruptible{ctx: ctx, r: plain}); len(wanted) > 0; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Mode&0o111 == 0 {
			continue
		}
		sum, data, err := readProgram(r, h.Size)
		if err != nil {
			return err
		}
		if p := wanted[sum]; p != nil {
			p.learn(data, h.Size)
			delete(wanted, sum)
		}
	}
	return nil
}

// readProgram reads a file, and keeps all of it, or its beginning when it is too large.
func readProgram(r io.Reader, size int64) (sum [sha256.Size]byte, data []byte, err error) {
	keep := size
	if size > maxProgram {
		keep = int64(len(elfMagic))
	}
	hash := sha256.New()
	all := io.TeeReader(r, hash)
	if data, err = io.ReadAll(io.LimitReader(all, keep)); err == nil {
		_, err = io.Copy(io.Discard, all)
	}
	hash.Sum(sum[:0])
	return sum, data, err
}

const elfMagic = "\x7fELF"

// goVersion is what a Go toolchain says of itself, with what it was built from behind a blank.
var goVersion = regexp.MustCompile(`^go(1[0-9A-Za-z.]{0,20})(?:[ -]|$)`)

// learn notes what a program says of itself.
func (p *program) learn(data []byte, size int64) {
	p.elf = bytes.HasPrefix(data, []byte(elfMagic))
	if p.large = size > maxProgram; !p.elf || p.large {
		return
	}
	info := goBuild(data)
	if info == nil {
		return
	}
	p.golang, p.modules = "Go", 1+len(info.Deps)
	if m := goVersion.FindStringSubmatch(info.GoVersion); m != nil {
		p.golang = "Go " + strings.TrimSuffix(m[1], ".")
	}
}

// goBuild reads what Go writes into its programs, nil when there is nothing to be read.
func goBuild(data []byte) (info *debug.BuildInfo) {
	// debug/elf, by which buildinfo finds its way, is not made for hostile files and says so.
	defer func() {
		if recover() != nil {
			info = nil
		}
	}()
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	return info
}
