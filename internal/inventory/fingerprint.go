package inventory

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// fingerprint identifies what an image is, apart from when it was made: two builds with the same fingerprint do the
// same thing, whatever their digests.
//
// It covers, for each path of the merged file system: type, permissions, owner, link target, device numbers, file
// capabilities and the content's SHA-256; and of the configuration what a container is started with. It leaves out
// times, the paths of volatile, and the labels of volatileLabel. rpm's database, which has the time of each installation
// in it, counts by its packages.
func fingerprint(t *tree, cfg *v1.ConfigFile, packages []Package) string {
	h := sha256.New()
	t.root.fingerprint(h, "")
	fingerprintRPM(h, packages)
	// Encoding a struct of strings and maps cannot fail, and encodes maps in the order of their keys.
	_ = json.NewEncoder(h).Encode(normalConfig(cfg))
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

func (n *node) fingerprint(w io.Writer, at string) {
	for _, name := range sortedKeys(n.children) {
		child, p := n.children[name], at+"/"+name
		if volatile(p) {
			continue
		}
		fmt.Fprintf(w, "%q %c %o %d:%d", p, child.typ, child.mode, child.uid, child.gid)
		switch child.typ {
		case tar.TypeReg:
			fmt.Fprintf(w, " %x", child.sum)
		case tar.TypeSymlink:
			fmt.Fprintf(w, " %q", child.more().link)
		case tar.TypeChar, tar.TypeBlock:
			fmt.Fprintf(w, " %d:%d", child.more().dev[0], child.more().dev[1])
		}
		fmt.Fprintf(w, " %q\n", child.more().capability)
		child.fingerprint(w, p)
	}
}

// volatile paths differ between two builds of the same thing: logs, caches that are made again when needed, backups of
// the package database, package lists, and what is unique to each machine by design.
func volatile(p string) bool {
	for _, dir := range []string{"/var/log/", "/var/cache/apt/", "/var/lib/apt/lists/", "/var/cache/apk/", "/etc/apk/cache/", "/var/cache/fontconfig/"} {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	switch p {
	case "/etc/machine-id", "/var/lib/dbus/machine-id", "/var/cache/ldconfig/aux-cache":
		return true
	}
	for _, pattern := range []string{"/etc/ssh/ssh_host_*", "/var/lib/dpkg/*-old", "/var/cache/debconf/*-old"} {
		if ok, _ := path.Match(pattern, p); ok {
			return true
		}
	}
	return strings.HasSuffix(p, ".cache-8") || isVolatileRPM(p) // the first is fontconfig's
}

// startConfig is what a container is started with. An empty field and a missing one are the same.
type startConfig struct {
	OS           string              `json:",omitempty"`
	Architecture string              `json:",omitempty"`
	Variant      string              `json:",omitempty"`
	Env          []string            `json:",omitempty"`
	Cmd          []string            `json:",omitempty"`
	Entrypoint   []string            `json:",omitempty"`
	Shell        []string            `json:",omitempty"`
	OnBuild      []string            `json:",omitempty"`
	User         string              `json:",omitempty"`
	WorkingDir   string              `json:",omitempty"`
	StopSignal   string              `json:",omitempty"`
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Volumes      map[string]struct{} `json:",omitempty"`
	Labels       map[string]string   `json:",omitempty"`
	Healthcheck  *v1.HealthConfig    `json:",omitempty"`
}

func normalConfig(f *v1.ConfigFile) startConfig {
	c := f.Config
	s := startConfig{
		OS: f.OS, Architecture: f.Architecture, Variant: f.Variant,
		Env: c.Env, Cmd: c.Cmd, Entrypoint: c.Entrypoint, Shell: c.Shell, OnBuild: c.OnBuild,
		User: c.User, WorkingDir: c.WorkingDir, StopSignal: c.StopSignal,
		ExposedPorts: c.ExposedPorts, Volumes: c.Volumes,
		Labels: maps.Clone(c.Labels), Healthcheck: c.Healthcheck,
	}
	maps.DeleteFunc(s.Labels, func(k, _ string) bool { return volatileLabel(k) })
	return s
}

// volatileLabel names the labels that say when and from what a build was made, not what it does.
func volatileLabel(k string) bool {
	name, ok := strings.CutPrefix(k, "org.opencontainers.image.")
	switch name {
	case "created", "revision", "version", "base.digest":
		return ok
	}
	return false
}
