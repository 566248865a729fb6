package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"google.golang.org/grpc"

	"rebuilder/internal/api"
)

// idle is the codec of a build engine that says yes, and nothing else, to all that it is asked, but which worker it has.
type idle struct{}

func (idle) Marshal(v any) ([]byte, error) {
	b, _ := v.([]byte)
	return b, nil
}
func (idle) Unmarshal([]byte, any) error { return nil }
func (idle) Name() string                { return "proto" }

// idleEngine starts such an engine, for a daemon that never builds, and returns its address.
func idleEngine(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "buildkitd.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(nil); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(s); strings.HasSuffix(method, "/ListWorkers") {
			return s.SendMsg([]byte("\n\x13\n\x01x\x1a\x0e\n\x05amd64\x12\x05linux")) // one record of x for linux/amd64
		}
		return s.SendMsg(nil)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(idle{}), grpc.UnknownServiceHandler(answer))
	go func() { _ = server.Serve(l) }() // it ends with Stop
	t.Cleanup(server.Stop)
	return "unix://" + socket
}

// hub is a registry in which a test writes.
type hub struct {
	t    *testing.T
	host string
}

func newHub(t *testing.T) hub {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return hub{t, strings.TrimPrefix(s.URL, "http://")}
}

// push gives an image one layer more, or makes one of nil, and pushes it for linux/amd64.
func (h hub) push(ref string, on v1.Image) v1.Image {
	h.t.Helper()
	made, err := random.Image(100, 1)
	if err == nil && on != nil {
		var layers []v1.Layer
		if layers, err = made.Layers(); err == nil {
			made, err = mutate.AppendLayers(on, layers...)
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
	cfg, err := made.ConfigFile()
	if err != nil {
		h.t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	if made, err = mutate.ConfigFile(made, cfg); err != nil {
		h.t.Fatal(err)
	}
	tag, err := name.NewTag(h.host + "/" + ref)
	if err == nil {
		err = remote.Write(tag, made)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

// daemonOf runs a daemon over a catalog until the test ends.
func daemonOf(t *testing.T, catalog string) *App {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "catalog.toml")
	for path, content := range map[string]string{file: catalog, filepath.Join(dir, "debian", "Dockerfile"): "FROM scratch\n"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := NewApp(t.Context(), AppConfig{
		Catalog: file, State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", Env: func(string) string { return "s3cret" },
		Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		a.Close()
	})
	return a
}

// until follows the daemon's events until what is asked for is there.
func until(t *testing.T, a *App, there func(*api.Client) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL()+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data:") && there(api.NewClient(a.URL(), "s3cret")) {
			return
		}
	}
	t.Fatal("it did not come")
}

// An image that nobody declared, in a registry that the catalog names, is in the daemon's graph after a walk, where its
// layers say that it belongs; and no look before the next one in time was needed for it.
func TestWhatNobodyDeclaredIsInTheGraph(t *testing.T) {
	h := newHub(t)
	base := h.push("base/debian:stable", nil)
	h.push("team/web:main", base)
	h.push("team/stranger:main", nil)
	a := daemonOf(t, fmt.Sprintf(`
organization = "acme"
[registry]
address = %q
[builder]
address = %q
[watch]
interval = "24h"
[discovery]
registries = [%q]
include = ["team/*"]
[rollout]
automatic = false
[[base]]
name = "base/debian"
context = "debian"
[[webhook]]
name = "hub"
kind = "registry"
secret_env = "HOOK"
`, h.host, idleEngine(t), h.host))
	web := h.host + "/team/web:main"
	until(t, a, func(c *api.Client) bool {
		g, err := c.Graph(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(g.Images, func(one api.Image) bool { return one.Name == web && one.Kind == "observed" }) &&
			slices.ContainsFunc(g.Edges, func(e api.Edge) bool {
				return e.Parent == "base/debian" && e.Child == web && e.Kind == "inherits" && e.Evidence == "layers" && e.Platform == "linux/amd64"
			}) &&
			slices.ContainsFunc(g.Images, func(one api.Image) bool { return one.Name == h.host+"/team/stranger:main" })
	})

	// A webhook of that registry makes the daemon look.
	before := a.loop.Last().At
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL()+"/webhooks/hub", strings.NewReader(`{"events":[{"id":"1","action":"push","target":{"repository":"base/debian"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer s3cret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("webhook: %s", resp.Status)
	}
	until(t, a, func(*api.Client) bool { return a.loop.Last().At.After(before) })
}
