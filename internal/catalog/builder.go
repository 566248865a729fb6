package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// schemes are those of BuildKit's addresses.
var schemes = []string{"unix", "tcp", "ssh", "docker-container", "kube-pod"}

const (
	usualDisk   = 20 << 30
	leastMemory = 16 << 20 // no package manager runs in less
	mostCPUs    = 1024
)

func (r *reader) builder(t *table) Builder {
	b := Builder{
		Address:       t.text("address"),
		Parallel:      t.integer("parallel", 2, 1),
		Timeout:       t.duration("timeout", time.Hour, false),
		Disk:          t.size("disk", usualDisk, 1<<30),
		Network:       r.network(t),
		RecordNetwork: t.boolean("record_network", false),
		Cache:         t.text("cache"),
	}
	b.Memory, b.CPUs = r.bounds(t)
	t.end()
	if b.Cache != "" {
		r.isRepository(t, "cache", b.Cache, "builders choose the tags in it")
	}
	if b.Network == "none" && b.RecordNetwork {
		t.wrong("record_network", "keep one of the two lines", ": without a network there is nothing to record")
	}
	if b.Address != "" && !isAddress(b.Address) {
		t.wrong("address", `such as "unix:///run/buildkit/buildkitd.sock" or "tcp://builder.example.com:1234"; without the line a BuildKit is started and managed for you`,
			": %q is not the address of a BuildKit", b.Address)
	}
	return b
}

func isAddress(s string) bool {
	scheme, rest, ok := strings.Cut(s, "://")
	return ok && rest != "" && slices.Contains(schemes, scheme)
}

// bounds are those of each step of a build.
func (r *reader) bounds(t *table) (memory int64, cpus float64) {
	return t.size("memory", 0, leastMemory), t.number("cpus", 0.01, mostCPUs, 1.5)
}

func (r *reader) network(t *table) string {
	s := t.text("network")
	if s == "" || s == "none" {
		return s
	}
	t.wrong("network", `write network = "none", or remove the line for the network that the builder has`, ": network = %q is not to be had", s)
	return ""
}

func (r *reader) worker(t *table) Worker {
	w := Worker{Line: t.at.key.line, Name: r.entryName(t, "builder-1")}
	w.Address = t.need("address", "tcp://builder.example.com:1234")
	platforms, at := t.words("platforms", "linux/amd64")
	w.Platforms = platforms
	w.Parallel = t.integer("parallel", r.catalog.Builder.Parallel, 1)
	w.CA, w.Cert, w.Key = t.text("ca"), t.text("cert"), t.text("key")
	w.ServerName = t.text("server_name")
	w.Drain = t.boolean("drain", false)
	t.end()
	for i, s := range platforms {
		if !platform.MatchString(s) {
			t.add(at[i], `such as "linux/amd64" or "linux/arm64"`, "%s: %q is not a platform", t.name, s)
		}
	}
	if r.catalog.Builder.Address != "" && len(r.catalog.Workers) == 0 {
		t.add(t.at.key, "keep the address, or make a [[worker]] of it", "%s stands beside the address of [builder]", t.name)
	}
	unique(t, w.Name, r.catalog.Workers, func(o Worker) (string, int) { return o.Name, o.Line })
	if w.Address != "" && !isAddress(w.Address) {
		t.wrong("address", `such as "tcp://builder.example.com:1234", "unix:///run/buildkit/buildkitd.sock", "ssh://builder.example.com", "kube-pod://buildkitd-0" or "docker-container://buildkitd"`,
			": %q is not the address of a BuildKit", w.Address)
		return w
	}
	r.certificates(t, &w)
	return w
}

// certificates resolves the files of a worker's certificates, which only a tcp address has.
func (r *reader) certificates(t *table, w *Worker) {
	for _, key := range []string{"ca", "cert", "key", "server_name"} {
		if t.has(key) && w.Address != "" && !strings.HasPrefix(w.Address, "tcp://") {
			t.wrong(key, "remove the line", ": %s is for a tcp address, and this one is %s", key, w.Address)
			return
		}
	}
	if t.has("cert") != t.has("key") {
		there, missing := "cert", "key"
		if t.has("key") {
			there, missing = missing, there
		}
		t.wrong(there, fmt.Sprintf("add a line such as %s = %q", missing, "secrets/"+missing+".pem"), ": %s is given without %s", there, missing)
	}
	for _, file := range []*string{&w.CA, &w.Cert, &w.Key} {
		if *file != "" {
			*file = r.absolute(*file)
		}
	}
}
