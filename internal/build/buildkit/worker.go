package buildkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	inlinecache "github.com/moby/buildkit/cache/remotecache/inline"
	registrycache "github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/bklog"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/util/network/cniprovider"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
)

const maxMessage = 16 << 20

// serve is buildkitd: one runc worker on the host's network, the Dockerfile frontend, one unix socket. It returns when
// ctx ends, and then cuts off the builds that still run.
func serve(ctx context.Context, c childConfig) error {
	ctl, err := newController(ctx, c)
	if err != nil {
		return err
	}
	defer ctl.Close()
	s := grpc.NewServer(
		grpc.ChainUnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
	)
	ctl.Register(s)
	l, err := listen(c.Socket)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	return s.Serve(l)
}

// listen makes the socket for its owner only; it appears ready to be connected to.
func listen(socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return net.Listen("unix", socket)
}

func newController(ctx context.Context, c childConfig) (*control.Controller, error) {
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	hosts := registries(c.Insecure)
	w, err := newWorker(ctx, c, hosts)
	if err != nil {
		return nil, err
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	cache, err := bboltcachestorage.NewStore(filepath.Join(c.Root, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	history, err := boltutil.SafeOpen(filepath.Join(c.Root, "history.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	gw, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	return control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends: map[string]frontend.Frontend{
			"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
			"gateway.v0":    gw,
		},
		ResolveCacheExporterFuncs: map[string]remotecache.ResolveCacheExporterFunc{
			"registry": registrycache.ResolveCacheExporterFunc(sessions, hosts),
			"inline":   inlinecache.ResolveCacheExporterFunc(),
		},
		ResolveCacheImporterFuncs: map[string]remotecache.ResolveCacheImporterFunc{
			"registry": registrycache.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts),
		},
		CacheManager:   solver.NewCacheManager(ctx, "local", cache, worker.NewCacheResultStorage(workers)),
		CacheStore:     cache,
		HistoryDB:      history,
		LeaseManager:   w.LeaseManager(),
		ContentStore:   w.ContentStore(),
		GarbageCollect: w.GarbageCollect,
		GracefulStop:   ctx.Done(),
	})
}

func newWorker(ctx context.Context, c childConfig, hosts docker.RegistryHosts) (*base.Worker, error) {
	runcPath, err := findRunc()
	if err != nil {
		return nil, err
	}
	opt, err := runc.NewWorkerOpt(c.Root, snapshotter(c.Root), false, oci.ProcessSandbox, nil, nil,
		netproviders.Opt{Mode: "host", CNI: cniprovider.Opt{Root: c.Root}}, nil, runcPath, "", false,
		semaphore.NewWeighted(int64(c.Parallel)), "", "", nil)
	if err != nil {
		return nil, fmt.Errorf("make worker: %w", err)
	}
	opt.RegistryHosts = hosts
	opt.GCPolicy = gcPolicy(c.CacheBytes)
	return base.NewWorker(ctx, opt)
}

// snapshotter is overlayfs, or plain copies where root's file system does not carry it (overlay on overlay).
func snapshotter(root string) runc.SnapshotterFactory {
	if err := overlayutils.Supported(root); err != nil {
		bklog.L.Warnf("overlayfs is not available below %s, builds copy their base images: %v", root, err)
		return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
	}
	return runc.SnapshotterFactory{Name: "overlayfs", New: func(dir string) (snapshots.Snapshotter, error) {
		return overlay.NewSnapshotter(dir, overlay.AsynchronousRemove)
	}}
}

// minFree is how much of the disk is left to others, as far as the cache can give way: a full disk fails every build.
const minFree = 2 << 30

// gcPolicy drops first what is cheap to have again (contexts, git checkouts, cache mounts), then anything. It is followed
// at the start and after builds, once a minute: until then a cache may be larger.
func gcPolicy(size int64) []client.PruneInfo {
	return []client.PruneInfo{
		{
			Filter:       []string{"type==source.local,type==exec.cachemount,type==source.git.checkout"},
			KeepDuration: 48 * time.Hour,
			MaxUsedSpace: size / 10,
		},
		{All: true, ReservedSpace: size / 10, MaxUsedSpace: size, MinFreeSpace: minFree},
	}
}

func registries(insecure []string) docker.RegistryHosts {
	plain := true
	m := map[string]resolverconfig.RegistryConfig{}
	for _, host := range insecure {
		m[host] = resolverconfig.RegistryConfig{PlainHTTP: &plain}
	}
	return resolver.NewRegistryConfig(m)
}
