package inventory

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Option changes how an image is read.
type Option func(*options)

type options struct {
	limits  Limits
	secrets func(path string, content []byte) []Secret
}

// WithSecrets has find look at each small file of each layer, those that later layers delete included, and at the
// configuration. find fills in Rule, Title, Line, Weak and Mark. It is called by one goroutine at a time and must not keep
// content.
func WithSecrets(find func(path string, content []byte) []Secret) Option {
	return func(o *options) { o.secrets = find }
}

// Read reads every layer of an image once and returns what is in the merged file system. Layers are checked against
// the image's diff ids while they are read. platform ("linux/amd64") must be what the image says of itself; an empty
// one takes the image's word.
//
// An image without a package database has no packages; that is no error. A malformed package database or sources list
// is one, and names the file and the image's digest. An image that could not be had is a *FetchError.
func Read(ctx context.Context, img v1.Image, platform string, opts ...Option) (*Inventory, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, err
	}
	o := options{limits: defaultLimits()}
	for _, set := range opts {
		set(&o)
	}
	inv, err := read(ctx, img, platform, o)
	if err != nil {
		return nil, fmt.Errorf("inventory of %s: %w", digest, err)
	}
	inv.Digest = digest
	return inv, nil
}

func read(ctx context.Context, img v1.Image, platform string, o options) (*Inventory, error) {
	cfg, err := configFile(img)
	if err != nil {
		return nil, err
	}
	if platform, err = checkPlatform(cfg, platform); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != len(cfg.RootFS.DiffIDs) {
		return nil, fmt.Errorf("the manifest has %d layers, the configuration %d diff ids", len(layers), len(cfg.RootFS.DiffIDs))
	}
	if len(layers) > maxLayers {
		return nil, fmt.Errorf("it has %d layers, more than %d", len(layers), maxLayers)
	}
	inv := &Inventory{Format: Format, Platform: platform, DiffIDs: cfg.RootFS.DiffIDs, OnBuild: cfg.Config.OnBuild}
	tree, db := newTree(o.limits), newHistories()
	defer tree.spool.close()
	if tree.librarian, err = newLibrarian(ctx); err != nil {
		return nil, err
	}
	defer tree.librarian.close()
	tree.secrets = newSearch(ctx, o.secrets)
	defer tree.secrets.stop()
	for i, l := range layers {
		size, err := l.Size()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		inv.Size += size
		if err := tree.apply(ctx, l, i, cfg.RootFS.DiffIDs[i]); err != nil {
			return nil, fmt.Errorf("layer %d (%s): %w", i, cfg.RootFS.DiffIDs[i], err)
		}
		if err := db.after(tree, i); err != nil {
			return nil, err
		}
	}
	inv.Packages = db.packages()
	inv.OS = osRelease(tree)
	if inv.Repositories, err = repositories(tree, platform); err != nil {
		return nil, err
	}
	if inv.Pins, err = pins(tree); err != nil {
		return nil, err
	}
	holdPinned(inv.Packages, inv.Pins)
	addDNF(tree, inv)
	inv.Unknown = append(inv.Unknown, unknown(tree, db)...)
	found, said := libraries(tree)
	if err := own(found, tree, db); err != nil {
		return nil, err
	}
	inv.Packages = append(inv.Packages, found...)
	slices.SortStableFunc(inv.Packages, comparePackages)
	inv.Unknown = append(inv.Unknown, said...)
	var l listing
	inv.Config = configOf(&l, cfg)
	inv.Files = filesOf(&l, tree, cfg)
	inv.Unknown = append(inv.Unknown, l.unknown...)
	if err := tree.secrets.finish(tree, cfg, inv); err != nil {
		return nil, err
	}
	inv.Fingerprint = fingerprint(tree, cfg, inv.Packages)
	return inv, nil
}

// configFile reads an image's configuration, once its manifest says that it is not absurd.
func configFile(img v1.Image) (*v1.ConfigFile, error) {
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	if m.Config.Size > maxConfig {
		return nil, fmt.Errorf("its configuration has %d bytes, more than %d", m.Config.Size, maxConfig)
	}
	if _, err := img.RawConfigFile(); err != nil {
		return nil, &FetchError{err}
	}
	return img.ConfigFile()
}

// checkPlatform compares what was asked for with what the image says of itself: BuildKit builds for a wrong platform
// without a word.
func checkPlatform(cfg *v1.ConfigFile, want string) (string, error) {
	have := platformOf(cfg.OS, cfg.Architecture, cfg.Variant)
	if want == "" {
		return have, nil
	}
	p, err := v1.ParsePlatform(want)
	if err != nil {
		return "", err
	}
	norm := platformOf(p.OS, p.Architecture, p.Variant)
	if have != norm && have != platformOf(p.OS, p.Architecture, "") && platformOf(cfg.OS, cfg.Architecture, "") != norm {
		return "", fmt.Errorf("it is an image for %s, not for %s", have, want)
	}
	return norm, nil
}

func platformOf(os, arch, variant string) string {
	if variant == "" || arch == "arm64" && variant == "v8" {
		return os + "/" + arch
	}
	return os + "/" + arch + "/" + variant
}
