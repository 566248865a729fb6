package debrepo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rebuilder/internal/demo/command"
)

// Package is a small package to be made. Name and Version are required.
type Package struct {
	Name, Version string
	Architecture  string            // default "all"
	Depends       string            // as in a control file
	Description   string            // one line; default the name
	Files         map[string]string // absolute path in the image -> content
}

// Build makes the .deb file of p in dir with dpkg-deb and returns its path.
func Build(ctx context.Context, dir string, p Package) (string, error) {
	if p.Architecture == "" {
		p.Architecture = "all"
	}
	tree, err := os.MkdirTemp(dir, ".deb-*")
	if err != nil {
		return "", fmt.Errorf("make package %s: %w", p.Name, err)
	}
	defer func() { _ = os.RemoveAll(tree) }()
	files := map[string]string{"DEBIAN/control": p.Control()}
	for name, content := range p.Files {
		files[name] = content
	}
	if err := os.Chmod(tree, 0o755); err != nil {
		return "", fmt.Errorf("make package %s: %w", p.Name, err)
	}
	for name, content := range files {
		path := filepath.Join(tree, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("make package %s: %w", p.Name, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return "", fmt.Errorf("make package %s: %w", p.Name, err)
		}
	}
	out := filepath.Join(dir, p.Name+"_"+p.Version+"_"+p.Architecture+".deb")
	if _, err := command.Run(ctx, "", "dpkg-deb", "--root-owner-group", "--build", tree, out); err != nil {
		return "", fmt.Errorf("make package %s: %w", p.Name, err)
	}
	return out, nil
}

// Control is the package's control file.
func (p Package) Control() string {
	if p.Architecture == "" {
		p.Architecture = "all"
	}
	if p.Description == "" {
		p.Description = p.Name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Demo <demo@demo.invalid>\n", p.Name, p.Version, p.Architecture)
	if p.Depends != "" {
		fmt.Fprintf(&b, "Depends: %s\n", p.Depends)
	}
	fmt.Fprintf(&b, "Description: %s\n", p.Description)
	return b.String()
}
