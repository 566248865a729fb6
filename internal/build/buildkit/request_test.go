package buildkit_test

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

func TestLimits(t *testing.T) {
	w := openWorld(t)
	t.Run("are those of each step", func(t *testing.T) {
		r := w.request(w.context(t, strings.Join([]string{
			"FROM REG/base/busybox:1",
			"RUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max > /memory 2>&1; true",
			"RUN cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max > /cpu 2>&1; true",
		}, "\n")))
		r.Limits = build.Limits{Memory: 96 << 20, CPUs: 0.75}
		_, files := w.build(t, r)
		if !strings.Contains(files["memory"], "100663296") {
			t.Errorf("memory: %q", files["memory"])
		}
		if !strings.Contains(files["cpu"], "75000") {
			t.Errorf("cpu: %q", files["cpu"])
		}
	})
	t.Run("what takes more memory is killed, and says so", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN x=0123456789; while true; do x=$x$x; done\n"))
		r.Limits.Memory = 32 << 20
		err := w.fail(t, r)
		if !strings.Contains(err.Reason, "takes more memory than a step's limit is (32 MiB") || err.Lost || err.ExitCode == 0 || len(err.Lines) == 0 {
			t.Errorf("%+v", err)
		}
		// The engine goes on.
		if _, files := w.build(t, w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo on > /out\n"))); files["out"] != "on" {
			t.Errorf("files %v", files)
		}
	})
	t.Run("a step that is killed without a limit is only killed", func(t *testing.T) {
		err := w.fail(t, w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sh -c 'kill -9 $$'; exit $?\n")))
		if !strings.HasSuffix(err.Reason, "exited with 137") {
			t.Errorf("reason %q", err.Reason)
		}
	})
}

// outside is a server that a step can reach from a network of its own.
func outside(t *testing.T) (url string) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast()
	})
	if i < 0 {
		t.Skip("this machine has no address but loopback ones")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(all[i].(*net.IPNet).IP.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "this is ", r.URL.Path) }))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

func TestNetwork(t *testing.T) {
	w := openWorld(t)
	url := outside(t)
	dockerfile := strings.Join([]string{
		"FROM REG/base/busybox:1",
		"ARG URL",
		"ADD $URL/added /added",
		"RUN busybox wget -qO /fetched $URL/fetched?a=b; true",
		"RUN --network=default busybox wget -qO /default $URL/default; true",
		"RUN busybox ip addr > /addresses 2>&1; busybox nc -w 2 127.0.0.1 ${URL##*:} < /dev/null > /loopback 2>&1; true",
	}, "\n")
	request := func() build.Request {
		r := w.request(w.context(t, dockerfile))
		r.Args = map[string]string{"URL": url}
		return r
	}
	uris := func(all []build.Material) (out []string) {
		for _, m := range all {
			if strings.HasPrefix(m.URI, "http") {
				out = append(out, strings.TrimPrefix(m.URI, url)+" "+m.Digest["sha256"])
			}
		}
		return out
	}

	t.Run("the engine's own", func(t *testing.T) {
		res, files := w.build(t, request())
		if files["fetched"] != "this is /fetched" || files["default"] != "this is /default" {
			t.Errorf("files %v", files)
		}
		if len(res.Fetched) != 0 || len(uris(res.Materials)) != 1 {
			t.Errorf("fetched %v, materials %v", res.Fetched, res.Materials)
		}
	})
	t.Run("none", func(t *testing.T) {
		r := request()
		r.Network = build.NetworkNone
		_, files := w.build(t, r)
		if files["fetched"] != "" || files["default"] != "" || files["added"] != "this is /added" {
			t.Errorf("files %v", files)
		}
	})
	t.Run("the host's is not given to a recipe that asks", func(t *testing.T) {
		for _, network := range []build.Network{build.NetworkEngine, build.NetworkNone} {
			r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN --network=host busybox ip addr\n"))
			r.Network = network
			if err := w.fail(t, r); !strings.Contains(err.Reason, "network.host") {
				t.Errorf("reason %q", err.Reason)
			}
		}
	})
	t.Run("recorded", func(t *testing.T) {
		r := request()
		r.RecordNetwork, r.Fresh = true, "1" // or its steps would come from the cache
		res, files := w.build(t, r)
		want := []string{fmt.Sprintf("/default %x", sha256.Sum256([]byte("this is /default"))), fmt.Sprintf("/fetched?a=b %x", sha256.Sum256([]byte("this is /fetched")))}
		if got := uris(res.Fetched); !slices.Equal(got, want) {
			t.Errorf("fetched %q, want %q", got, want)
		}
		if files["fetched"] != "this is /fetched" {
			t.Errorf("files %v", files)
		}
		if got := uris(res.Materials); len(got) != 1 || !strings.HasPrefix(got[0], "/added ") {
			t.Errorf("materials %q", got)
		}
		// A step from the cache fetches nothing, and nobody remembers what it did.
		if again, _ := w.build(t, r); len(again.Fetched) != 0 {
			t.Errorf("from the cache: %v", again.Fetched)
		}
	})
}

func TestSecrets(t *testing.T) {
	const value = "c0rrect-horse"
	w := openWorld(t)
	w.push(t, "base/pkg:1", rootfs(t, map[string]string{"bin/apk": "#!/bin/sh\ncat $APT_CONFIG > /apt\n"}))
	r := w.request(w.context(t, strings.Join([]string{
		"FROM REG/base/pkg:1",
		"RUN --mount=type=secret,id=tok,required=true test \"$(cat /run/secrets/tok)\" = " + "c0rrect-\"\"horse && echo same > /out",
		"RUN --mount=type=secret,id=tok cat /run/secrets/tok /run/secrets/tok >&2; for i in c0rr ect-ho rse; do busybox printf $i; sleep 0.1; done",
		"RUN --mount=type=secret,id=tok,env=TOK echo \"{\\\"t\\\":\\\"$TOK\\\"}\"; apk add x",
	}, "\n")))
	r.Secrets = map[string][]byte{"tok": []byte(value)}
	r.RepositoryState = "1"
	var l buffer
	r.Log = &l
	var named []string
	r.Progress = func(s build.Step) { named = append(named, s.Name) }
	res, err := w.engine.Build(t.Context(), r)
	if err != nil {
		t.Fatalf("%v\n%s", err, l.String())
	}
	files := w.files(t, r.Repository, res.Digest)
	if files["out"] != "same" || !strings.Contains(files["apt"], "Error-Mode") {
		t.Errorf("files %v", files)
	}
	if got := strings.Count(l.String(), "***"); got < 4 {
		t.Errorf("%d places in the log are redacted:\n%s", got, l.String())
	}
	for what, text := range map[string]string{"log": l.String(), "provenance": string(res.Provenance), "result": fmt.Sprintf("%+v", res), "progress": strings.Join(named, "\n")} {
		if strings.Contains(text, value) {
			t.Errorf("the secret is in the %s:\n%s", what, text)
		}
	}
	if !strings.Contains(string(res.Provenance), `"tok"`) {
		t.Error("the provenance does not name the secret")
	}

	t.Run("in an error", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN --mount=type=secret,id=tok,env=TOK echo $TOK; echo to-$TOK >&2; exit 4\n"))
		r.Secrets = map[string][]byte{"tok": []byte(value)}
		err := w.fail(t, r)
		if all := fmt.Sprintf("%+v %v %v", *err, err, err.Cause); strings.Contains(all, value) || err.ExitCode != 4 || !slices.Contains(err.Log, "to-***") {
			t.Errorf("%s", all)
		}
	})
	t.Run("one that is missing", func(t *testing.T) {
		for _, secrets := range []map[string][]byte{nil, {"other": []byte(value)}} {
			r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN --mount=type=secret,id=npm,required=true true\n"))
			r.Secrets = secrets
			if err := w.fail(t, r); !strings.Contains(err.Reason, "secret npm: not found") || len(err.Lines) != 1 || err.Lost {
				t.Errorf("%+v", err)
			}
		}
	})
	t.Run("one that is ours", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/busybox:1\n"))
		r.Secrets = map[string][]byte{"rebuilder-apt-config": []byte(value)}
		if err := w.fail(t, r); !strings.Contains(err.Reason, "give it another one") {
			t.Errorf("reason %q", err.Reason)
		}
	})
	t.Run("another value runs nothing again", func(t *testing.T) {
		r := r
		r.Log, r.Progress, r.Secrets = nil, nil, map[string][]byte{"tok": []byte("battery-staple")}
		again, _ := w.build(t, r)
		if again.Digest != res.Digest {
			t.Errorf("made %s, was %s", again.Digest, res.Digest)
		}
	})
}

func TestReproducible(t *testing.T) {
	w := openWorld(t)
	r := w.request(w.context(t, strings.Join([]string{
		"FROM REG/base/busybox:1 AS made",
		"COPY f /dir/f",
		"RUN mkdir -p /a/b && cp /dir/f /a/b/f && echo text > /text && echo $(cat /proc/sys/kernel/random/uuid) > /log && busybox rm /log",
		"FROM REG/base/busybox:1",
		"COPY --from=made /a /a",
		"RUN busybox ln -s f /a/link && echo x >> /etc/x",
		"WORKDIR /tmp", // a layer with nothing in it
	}, "\n"), "f", "content"))
	r.SourceDateEpoch = time.Unix(1_700_000_000, 0)
	twice := func() (out []string) {
		for _, r.Fresh = range []string{"once", "again"} { // every step runs
			res, _ := w.build(t, r)
			out = append(out, res.Digest.String())
			time.Sleep(1100 * time.Millisecond) // layers hold whole seconds
		}
		return out
	}
	if d := twice(); d[0] == d[1] {
		t.Error("without being asked for two builds are the same: this test has nothing to show")
	}
	r.Reproducible = true
	if d := twice(); d[0] != d[1] {
		t.Errorf("two builds of the same inputs made %v", d)
	}
	r.SourceDateEpoch = time.Time{}
	if err := w.fail(t, r); !strings.Contains(err.Reason, "needs a time") {
		t.Errorf("reason %q", err.Reason)
	}
}

// What one engine has built, an empty one has by way of the registry.
func TestSharedCache(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/pkg:1", rootfs(t, map[string]string{"bin/apk": "#!/bin/sh\ncat /proc/sys/kernel/random/uuid > /pkg\n"}))
	r := w.request(w.context(t, "FROM REG/base/pkg:1 AS made\nRUN cat /proc/sys/kernel/random/uuid > /made\nFROM REG/base/pkg:1\nCOPY --from=made /made /\nRUN apk add x\nRUN cat /pkg > /out\n"))
	r.RepositoryState, r.Cache = "1", w.registry+"/cache:out"
	res, _ := w.build(t, r)

	second, err := buildkit.Open(t.Context(), buildkit.Config{Root: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for range 2 { // what was imported is known for one build
		got, err := second.Build(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != res.Digest {
			t.Errorf("the second engine made %s, the first %s: %v", got.Digest, res.Digest, cached(got))
		}
	}
	t.Run("another state runs the package step all the same", func(t *testing.T) {
		r := r
		r.RepositoryState = "2"
		got, err := second.Build(t.Context(), r)
		if err != nil || got.Digest == res.Digest {
			t.Errorf("%v, %v", got, err)
		}
	})
	t.Run("a trial takes from it and leaves nothing there", func(t *testing.T) {
		ref, err := name.ParseReference(r.Cache)
		if err != nil {
			t.Fatal(err)
		}
		before, err := remote.Head(ref)
		if err != nil {
			t.Fatal(err)
		}
		r := r
		r.RepositoryState, r.Discard = "3", true
		if _, err := second.Build(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if after, err := remote.Head(ref); err != nil || after.Digest != before.Digest {
			t.Errorf("the cache is %v, was %v (%v)", after, before, err)
		}
	})
	t.Run("one that cannot be had stops no build", func(t *testing.T) {
		r := r
		r.Cache = "127.0.0.1:1/cache:out"
		if res, files := w.build(t, r); files["out"] == "" || len(res.Steps) == 0 {
			t.Errorf("files %v", files)
		}
	})
}

func TestDiscard(t *testing.T) {
	w := openWorld(t)
	pinned := w.with(t, "base/x:2", "ver", "new")
	r := w.request(w.context(t, "FROM REG/base/x:1\nRUN cat /ver\n"))
	r.Pins = []build.Pin{{Reference: w.registry + "/base/x:1", Digest: pinned}}
	r.Discard, r.Repository = true, ""
	var l buffer
	r.Log = &l
	res, err := w.engine.Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if res.Digest.Hex != "" || len(res.Materials) != 1 || len(res.Provenance) == 0 || !strings.Contains(l.String(), " new\n") {
		t.Errorf("%+v\n%s", res, l.String())
	}
	t.Run("a failing one fails", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN exit 5\n"))
		r.Discard = true
		if err := w.fail(t, r); err.ExitCode != 5 {
			t.Errorf("%+v", err)
		}
	})
	t.Run("a pin that was not used is an error", func(t *testing.T) {
		r := r
		r.Pins = []build.Pin{{Reference: w.registry + "/base/other:1", Digest: pinned}, r.Pins[0]}
		if err := w.fail(t, r); !strings.Contains(err.Reason, "did not use the pin") {
			t.Errorf("reason %q", err.Reason)
		}
	})
	t.Run("a parent of another platform is an error", func(t *testing.T) {
		arm := w.push(t, "base/arm:1", image(t, nil, "arm64"))
		r := w.request(w.context(t, "FROM REG/base/arm@"+arm.String()+"\nCOPY Dockerfile /\n"))
		r.Discard = true
		if err := w.fail(t, r); !strings.Contains(err.Reason, "is for linux/arm64, not for linux/amd64") {
			t.Errorf("reason %q", err.Reason)
		}
	})
}

func TestWarnings(t *testing.T) {
	w := openWorld(t)
	r := w.request(w.context(t, "FROM REG/base/busybox:1 as x\nENV TOKEN old\n# check=skip=x\nRUN ./bin/busybox \\\n  true\n"))
	r.RepositoryState = "1"
	res, _ := w.build(t, r)
	var got []string
	for _, warning := range res.Warnings {
		if warning.URL == "" {
			t.Errorf("%+v explains nothing", warning)
		}
		got = append(got, strings.Join(warning.Lines, "|"))
	}
	slices.Sort(got)
	want := []string{"Dockerfile:1: FROM " + w.registry + "/base/busybox:1 as x", "Dockerfile:2: ENV TOKEN old", "Dockerfile:2: ENV TOKEN old"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", res.Warnings, want)
	}
	if res.Doubt != "no RUN is recognised as one that installs packages: all are run again" {
		t.Errorf("doubt %q", res.Doubt)
	}
	i := slices.IndexFunc(res.Steps, func(s build.Step) bool { return strings.Contains(s.Name, "RUN") })
	if i < 0 || res.Steps[i].Line != 4 {
		t.Errorf("steps %+v", res.Steps)
	}
}

// A Dockerfile may name a platform of its own. What is then built is labelled as asked for all the same.
func TestPlatformOfTheResult(t *testing.T) {
	w := openWorld(t)
	layer := map[string]string{"ver": "arm"}
	arm, err := mutate.ConfigFile(rootfs(t, layer), configFor(t, rootfs(t, layer), "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	w.push(t, "base/arm:1", arm)
	got := w.fail(t, w.request(w.context(t, "FROM --platform=linux/arm64 REG/base/arm:1\nCOPY Dockerfile /\n")))
	if want := "what was built for linux/amd64 stands on " + w.registry + "/base/arm:1 for linux/arm64: look for FROM --platform in the Dockerfile"; got.Reason != want {
		t.Errorf("reason %q, want %q", got.Reason, want)
	}
	t.Run("what is only copied from may be for another", func(t *testing.T) {
		_, files := w.build(t, w.request(w.context(t, "FROM --platform=linux/arm64 REG/base/arm:1 AS arm\nFROM REG/base/busybox:1\nCOPY --from=arm /ver /ver\n")))
		if files["ver"] != "arm" {
			t.Errorf("files %v", files)
		}
	})
}

func configFor(t *testing.T, img v1.Image, arch string) *v1.ConfigFile {
	t.Helper()
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Architecture = arch
	return cfg
}
