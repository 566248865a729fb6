package buildkit_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

func TestBuild(t *testing.T) {
	w := openWorld(t)
	r := w.request(w.context(t,
		"# syntax=docker/dockerfile:1\nFROM REG/base/busybox:1\nARG WHO\nCOPY . /ctx\nRUN echo hello $WHO > /out\n",
		"f", "content", "hidden", "x"))
	write(t, r.Dir, ".dockerignore", "hidden\n")
	r.Args = map[string]string{"WHO": "world"}
	r.Labels = map[string]string{"team": "a"}
	var l buffer
	var seen []build.Step
	r.Log, r.Progress = &l, func(s build.Step) { seen = append(seen, s) }
	res, err := w.engine.Build(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("the image has what the Dockerfile says", func(t *testing.T) {
		files := w.files(t, r.Repository, res.Digest)
		if files["out"] != "hello world" || files["ctx/f"] != "content" {
			t.Errorf("files %v", files)
		}
		if _, ok := files["ctx/hidden"]; ok {
			t.Error(".dockerignore was not honoured")
		}
	})
	t.Run("it is one plain manifest without a tag", func(t *testing.T) {
		repo, err := name.NewRepository(r.Repository)
		if err != nil {
			t.Fatal(err)
		}
		tags, err := remote.List(repo)
		if err != nil || len(tags) != 0 {
			t.Errorf("tags %v, %v", tags, err)
		}
		d, err := remote.Get(repo.Digest(res.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		if d.MediaType != "application/vnd.oci.image.manifest.v1+json" {
			t.Errorf("media type %s", d.MediaType)
		}
		img, err := d.Image()
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := img.ConfigFile()
		if err != nil || cfg.Config.Labels["team"] != "a" {
			t.Errorf("labels %v, %v", cfg.Config.Labels, err)
		}
	})
	t.Run("log, progress, provenance", func(t *testing.T) {
		if !strings.Contains(l.String(), "RUN echo hello world > /out") {
			t.Errorf("log:\n%s", l.String())
		}
		ran := func(s build.Step) bool { return strings.Contains(s.Name, "RUN echo") }
		i := slices.IndexFunc(seen, ran)
		if i < 0 || !seen[i].Running {
			t.Errorf("the first report of RUN should be that it runs: %+v", seen)
		}
		if j := slices.IndexFunc(res.Steps, ran); j < 0 || res.Steps[j].Running || res.Steps[j].Took <= 0 {
			t.Errorf("steps %+v", res.Steps)
		}
		if len(res.Materials) != 1 || !strings.Contains(res.Materials[0].URI, "base/busybox@1") || len(res.Provenance) == 0 {
			t.Errorf("materials %+v", res.Materials)
		}
	})
	t.Run("the same again is the same image, from the cache", func(t *testing.T) {
		again, _ := w.build(t, r)
		if again.Digest != res.Digest {
			t.Errorf("digest %s, was %s", again.Digest, res.Digest)
		}
	})
	t.Run("a Dockerfile elsewhere, with an ignore file of its own", func(t *testing.T) {
		r := w.request(w.context(t, "FROM nowhere\n", "f", "content", "g", "content"))
		write(t, r.Dir, "ci/app.Dockerfile", "FROM "+w.registry+"/base/busybox:1\nCOPY . /ctx\n")
		write(t, r.Dir, "ci/app.Dockerfile.dockerignore", "g\n")
		r.Dockerfile = "ci/app.Dockerfile"
		_, files := w.build(t, r)
		if _, ok := files["ctx/g"]; ok || files["ctx/f"] != "content" {
			t.Errorf("files %v", files)
		}
	})
	t.Run("files of one size and time are told apart", func(t *testing.T) {
		for _, content := range []string{"one", "two"} {
			r := w.request(w.context(t, "FROM REG/base/busybox:1\nCOPY f /f\n", "f", content))
			if err := os.Chtimes(filepath.Join(r.Dir, "f"), r.SourceDateEpoch, r.SourceDateEpoch); err != nil {
				t.Fatal(err)
			}
			if _, files := w.build(t, r); files["f"] != content {
				t.Errorf("f is %q, want %q", files["f"], content)
			}
		}
	})
	t.Run("by another client, at the engine's address", func(t *testing.T) {
		e, err := buildkit.Open(t.Context(), buildkit.Config{Address: w.engine.Address()})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		again, err := e.Build(t.Context(), r)
		if err != nil || again.Digest != res.Digest {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

func TestPins(t *testing.T) {
	w := openWorld(t)
	old := w.with(t, "base/x:1", "ver", "old")
	pinned := w.with(t, "base/x:2", "ver", "new")
	x := w.registry + "/base/x:1"

	tests := map[string]struct{ reference, dockerfile string }{
		"FROM":                   {x, "FROM REG/base/x:1\nRUN cat /ver > /out\n"},
		"FROM of an ARG":         {x, "ARG TAG=1\nARG BASE=REG/base/x:${TAG}\nFROM $BASE\nRUN cat /ver > /out\n"},
		"FROM with a platform":   {x, "FROM --platform=$TARGETPLATFORM REG/base/x:1\nRUN cat /ver > /out\n"},
		"FROM of a digest":       {x + "@" + old.String(), "FROM REG/base/x:1@" + old.String() + "\nRUN cat /ver > /out\n"},
		"a digest without a tag": {w.registry + "/base/x@" + old.String(), "FROM REG/base/x@" + old.String() + "\nRUN cat /ver > /out\n"},
		"COPY --from":            {x, "FROM REG/base/busybox:1\nCOPY --from=REG/base/x:1 /ver /out\n"},
		"RUN --mount":            {x, "FROM REG/base/busybox:1\nRUN --mount=from=REG/base/x:1,target=/x cat /x/ver > /out\n"},
		"a builder stage":        {x, "FROM REG/base/x:1 AS alpine\nRUN cat /ver > /out\nFROM REG/base/busybox:1\nCOPY --from=alpine /out /out\n"},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			r := w.request(w.context(t, tt.dockerfile))
			r.Pins = []build.Pin{{Reference: tt.reference, Digest: pinned}}
			res, files := w.build(t, r)
			if files["out"] != "new" {
				t.Errorf("built on %q, want the pinned one", files["out"])
			}
			if !slices.ContainsFunc(res.Materials, func(m build.Material) bool { return m.Digest["sha256"] == pinned.Hex }) {
				t.Errorf("materials %+v", res.Materials)
			}
		})
	}

	t.Run("what ONBUILD brings", func(t *testing.T) {
		ob, _ := w.build(t, w.request(w.context(t, "FROM REG/base/busybox:1\nONBUILD COPY --from=REG/base/x:1 /ver /out\n")))
		r := w.request(w.context(t, "FROM REG/out@"+ob.Digest.String()+"\n"))
		r.Pins = []build.Pin{{Reference: x, Digest: pinned}}
		if _, files := w.build(t, r); files["out"] != "new" {
			t.Errorf("copied %q, want it from the pinned one", files["out"])
		}
	})
	t.Run("several", func(t *testing.T) {
		y := w.with(t, "base/y:2", "ver", "new y")
		r := w.request(w.context(t, "FROM REG/base/x:1\nRUN cat /ver > /out\nCOPY --from=REG/base/y:1 /ver /y\n"))
		r.Pins = []build.Pin{{Reference: x, Digest: pinned}, {Reference: w.registry + "/base/y:1", Digest: y}}
		if _, files := w.build(t, r); files["out"] != "new" || files["y"] != "new y" {
			t.Errorf("files %v", files)
		}
	})
	t.Run("one that is not used is an error", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN true\nFROM REG/base/x:1\n"))
		r.Pins = []build.Pin{{Reference: x, Digest: pinned}, {Reference: w.registry + "/base/busybox:1", Digest: pinned}}
		if err := w.fail(t, r); !strings.Contains(err.Reason, w.registry+"/base/busybox:1") || err.Lost {
			t.Errorf("error %+v", err)
		}
	})
}

// The trap: an engine told to ignore the cache of one step runs it, and then answers the steps that follow from the
// cache of the old one. Here the state of the package repositories is in the step's key.
func TestRepositoryState(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/pkg:1", rootfs(t, map[string]string{
		"bin/apk":     "#!/bin/sh\ncat /proc/sys/kernel/random/uuid > /pkg\n",
		"bin/apt-get": "#!/bin/sh\ncat $APT_CONFIG > /apt\n",
	}))
	dockerfile := strings.Join([]string{
		"FROM REG/base/pkg:1 AS builder",
		"RUN echo prepare > /prepared",
		"RUN apk add curl",
		"RUN cat /pkg > /a1",
		"RUN cat /a1 > /a2",
		"FROM REG/base/pkg:1",
		"RUN echo other > /other",
		"COPY --from=builder /a2 /a3",
		"RUN cat /a3 > /a4",
		"RUN sh -c 'set -e; apt-get update'",
	}, "\n")
	r := w.request(w.context(t, dockerfile))
	var results []*build.Result
	var images []map[string]string
	for _, state := range []string{"state-1", "state-1", "state-2", "state-1"} { // of one length, on purpose
		r.RepositoryState = state
		res, files := w.build(t, r)
		results, images = append(results, res), append(images, files)
	}

	t.Run("the same state is answered from the cache", func(t *testing.T) {
		for _, i := range []int{1, 3} {
			if results[i].Digest != results[0].Digest {
				t.Errorf("build %d made %s, the first %s", i, results[i].Digest, results[0].Digest)
			}
			for _, s := range cached(results[i]) {
				if !strings.HasPrefix(s, "cached ") {
					t.Errorf("build %d ran %s", i, s)
				}
			}
		}
	})
	t.Run("another state runs the package steps and what follows, nothing else", func(t *testing.T) {
		want := []string{
			"COPY --from=builder /a2 /a3", "RUN apk add curl", "RUN cat /a1 > /a2", "RUN cat /a3 > /a4", "RUN cat /pkg > /a1",
			"RUN sh -c 'set -e; apt-get update'", "cached RUN echo other > /other", "cached RUN echo prepare > /prepared",
		}
		if got := slices.Sorted(slices.Values(cached(results[2]))); !slices.Equal(got, want) {
			t.Errorf("steps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("the image is not stale", func(t *testing.T) {
		if images[0]["a4"] == "" || images[2]["a4"] == "" || images[0]["a4"] == images[2]["a4"] || images[2]["a3"] != images[2]["a4"] {
			t.Errorf("before %v\nafter %v", images[0], images[2])
		}
	})
	t.Run("apt is told to fail without an index", func(t *testing.T) {
		if images[0]["apt"] != `APT::Update::Error-Mode "any";` {
			t.Errorf("APT_CONFIG holds %q", images[0]["apt"])
		}
	})
	t.Run("nothing of it is left in the image", func(t *testing.T) {
		for f := range images[2] {
			if strings.HasPrefix(f, "run") {
				t.Errorf("left: %s", f)
			}
		}
		d, err := name.NewDigest(r.Repository + "@" + results[2].Digest.String())
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(d)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := img.RawConfigFile()
		if err != nil || strings.Contains(string(raw), "rebuilder") || strings.Contains(string(raw), "APT_CONFIG") {
			t.Errorf("config %s, %v", raw, err)
		}
	})
	t.Run("an unknown script runs again", func(t *testing.T) {
		r := w.request(w.context(t, "FROM REG/base/pkg:1\nCOPY install /install\nRUN sh /install\nRUN cat /pkg > /out\n", "install", "apk add x\n"))
		var out []string
		for _, r.RepositoryState = range []string{"1", "1", "2"} {
			_, files := w.build(t, r)
			out = append(out, files["out"])
		}
		if out[0] != out[1] || out[1] == out[2] {
			t.Errorf("made %v, want the first two alike and the third not", out)
		}
	})
}

// A fresh build runs every step again, and what is built later goes on from there: it does not go back to what a step that
// has nothing to do with packages left in the cache before.
func TestFreshBuild(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/fresh:1", rootfs(t, map[string]string{"bin/apk": "#!/bin/sh\ncat /proc/sys/kernel/random/uuid > /pkg\n"}))
	r := w.request(w.context(t, strings.Join([]string{
		"FROM REG/base/fresh:1 AS builder",
		"RUN cat /proc/sys/kernel/random/uuid > /download",
		"FROM REG/base/fresh:1",
		"COPY --from=builder /download /download",
		"RUN apk add curl",
		"RUN cat /download > /copied",
	}, "\n")))
	type made struct{ download, copied, pkg string }
	build := func(state, fresh string) made {
		t.Helper()
		r.RepositoryState, r.Fresh = state, fresh
		_, files := w.build(t, r)
		for f := range files {
			if strings.HasPrefix(f, "run") {
				t.Errorf("left: %s", f)
			}
		}
		return made{files["download"], files["copied"], files["pkg"]}
	}
	first := build("state-1", "")
	slot := build("state-1", "slot-1")
	if slot.download == first.download || slot.pkg == first.pkg || slot.copied != slot.download {
		t.Errorf("not fresh: %+v after %+v", slot, first)
	}
	if again := build("state-1", "slot-1"); again != slot {
		t.Errorf("the same fresh build once more is another: %+v after %+v", again, slot)
	}
	if patched := build("state-2", "slot-1"); patched.download != slot.download || patched.copied != slot.download || patched.pkg == slot.pkg {
		t.Errorf("a patch after it: %+v after %+v", patched, slot)
	}
	if next := build("state-2", "slot-2"); next.download == slot.download || next.copied != next.download {
		t.Errorf("the next one: %+v after %+v", next, slot)
	}
	if without := build("", "slot-2"); without.copied != without.download || without.pkg == "" {
		t.Errorf("without a state: %+v", without)
	}
}

func TestHalfFetchedIndex(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/deb:1", rootfs(t, map[string]string{
		"bin/apt-get": "#!/bin/sh\necho Reading\necho 'W: Failed to fetch http://x/InRelease  Could not connect' >&2\nsleep 20\n",
	}))
	r := w.request(w.context(t, "FROM REG/base/deb:1\nRUN apt-get update\nRUN echo W: Failed to fetch x is only said here\n"))
	for _, r.RepositoryState = range []string{"", "1", "1"} { // never answered from the cache
		err := w.fail(t, r)
		if !strings.HasPrefix(err.Reason, "RUN apt-get update did not get every package index: W: Failed to fetch http://x") || err.Lost {
			t.Errorf("reason %q", err.Reason)
		}
		if !slices.ContainsFunc(err.Log, func(l string) bool { return strings.HasPrefix(l, "W: Failed") }) {
			t.Errorf("log %q", err.Log)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	w := openWorld(t)
	other := w.push(t, "base/arm:1", image(t, nil, "arm64"))
	tests := map[string]struct {
		dockerfile string
		change     func(*build.Request)
		want       build.Error // Reason: a part of it
	}{
		// A step has two pipes, and nobody promises an order between them: this one writes to one alone.
		"a RUN fails": {
			dockerfile: "FROM REG/base/busybox:1\nRUN seq 1 29 && \\\n  echo the end; \\\n  exit 3\n",
			want: build.Error{
				ExitCode: 3,
				Reason:   "RUN seq 1 29 &&   echo the end;   exit 3 exited with 3",
				Lines:    []string{"Dockerfile:2: RUN seq 1 29 && \\", "Dockerfile:3: echo the end; \\", "Dockerfile:4: exit 3"},
				Log:      append(strings.Fields("16 17 18 19 20 21 22 23 24 25 26 27 28 29"), "the end"),
			},
		},
		"a package step fails": {
			dockerfile: "FROM REG/base/busybox:1\nRUN apk add nothing\n",
			change:     func(r *build.Request) { r.RepositoryState = "1" },
			want: build.Error{
				ExitCode: 127,
				Reason:   "RUN apk add nothing exited with 127",
				Lines:    []string{"Dockerfile:2: RUN apk add nothing"},
				Log:      []string{"/bin/sh: apk: not found"},
			},
		},
		"not a Dockerfile": {
			dockerfile: "FROM REG/base/busybox:1\nRUNN x\n",
			want:       build.Error{Reason: "unknown instruction: RUNN", Lines: []string{"Dockerfile:2: RUNN x"}},
		},
		"not a Dockerfile, read here": {
			dockerfile: "FROM REG/base/busybox:1\nRUNN x\n",
			change:     func(r *build.Request) { r.RepositoryState = "1" },
			want:       build.Error{Reason: "unknown instruction: RUNN", Lines: []string{"Dockerfile:2: RUNN x"}},
		},
		"no Dockerfile": {
			change: func(r *build.Request) { r.Dockerfile = "none" },
			want:   build.Error{Reason: "none: no such file"},
		},
		"a Dockerfile outside of the context": {
			change: func(r *build.Request) { r.Dockerfile = "../../etc/passwd" },
			want:   build.Error{Reason: "etc/passwd: no such file"},
		},
		"no such image": {
			dockerfile: "FROM REG/base/none:1\n",
			want:       build.Error{Reason: "base/none:1: not found", Lines: []string{"Dockerfile:1: FROM " + w.registry + "/base/none:1"}},
		},
		"a base of another platform": {
			dockerfile: "FROM REG/base/arm@" + other.String() + "\nCOPY Dockerfile /\n",
			want:       build.Error{Reason: "is for linux/arm64, not for linux/amd64"},
		},
		"no context": {
			change: func(r *build.Request) { r.Dir = "" },
			want:   build.Error{Reason: "a build needs a directory or a git reference"},
		},
		"a branch": {
			change: func(r *build.Request) { r.Dir, r.Git = "", "http://"+w.registry+"/x.git#main" },
			want:   build.Error{Reason: "name a full commit"},
		},
		"a pin that is no reference": {
			dockerfile: "FROM REG/base/busybox:1\n",
			change:     func(r *build.Request) { r.Pins = []build.Pin{{Reference: "A b", Digest: other}} },
			want:       build.Error{Reason: `pin "A b"`},
		},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			r := w.request(w.context(t, tt.dockerfile))
			if tt.change != nil {
				tt.change(&r)
			}
			got := w.fail(t, r)
			if !strings.Contains(got.Reason, tt.want.Reason) || strings.Contains(got.Reason, "\n") {
				t.Errorf("reason %q\nwant it to have %q", got.Reason, tt.want.Reason)
			}
			if got.ExitCode != tt.want.ExitCode || got.Lost {
				t.Errorf("exit code %d, lost %v; want %d, false", got.ExitCode, got.Lost, tt.want.ExitCode)
			}
			if !slices.Equal(got.Lines, tt.want.Lines) {
				t.Errorf("lines %q\nwant %q", got.Lines, tt.want.Lines)
			}
			if tt.want.Log != nil && !slices.Equal(got.Log, tt.want.Log) {
				t.Errorf("log %q\nwant %q", got.Log, tt.want.Log)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	w := openWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	r := w.request(w.context(t, "FROM REG/base/busybox:1\nRUN sleep 71001\n"))
	r.Progress = func(s build.Step) {
		if s.Running && strings.Contains(s.Name, "RUN") {
			go func() {
				until(t, "the step's process", func() bool { return running("71001") })
				cancel()
			}()
		}
	}
	if _, err := w.engine.Build(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	until(t, "the end of the step's process", func() bool { return !running("71001") })
	if _, err := w.engine.Build(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestEnvironmentStaysOut(t *testing.T) {
	t.Setenv("REBUILDER_SECRET", "hunter2")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	w := openWorld(t)
	_, files := w.build(t, w.request(w.context(t,
		"FROM REG/base/busybox:1\nRUN env > /env; cat /proc/1/environ /proc/self/environ > /proc-env\n")))
	if !strings.Contains(files["env"], "PATH=/bin") {
		t.Errorf("env is %q", files["env"])
	}
	// What the engine's process has is in reach of a build that breaks out, so it has no more than it needs.
	own, err := os.ReadFile("/proc/" + strconv.Itoa(childOf(t, w.engine)) + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	files["the engine's own"] = string(own)
	for f, c := range files {
		if strings.Contains(c, "hunter2") {
			t.Errorf("%s has a secret of the daemon's environment", f)
		}
	}
}

func TestGit(t *testing.T) {
	w := openWorld(t)
	w.push(t, "base/pkg:1", rootfs(t, map[string]string{"bin/apk": "#!/bin/sh\ncat /proc/sys/kernel/random/uuid > /pkg\n"}))
	forge := newForge(t, "s3cret")
	dockerfile := strings.ReplaceAll("FROM REG/base/pkg:1\nCOPY f /f\nRUN apk add x\n"+
		"RUN --mount=type=secret,id=GIT_AUTH_TOKEN --mount=type=secret,id=GIT_AUTH_TOKEN,env=TOK cat /run/secrets/* > /tok; echo \"$TOK\" > /env\n", "REG", w.registry)
	commit := forge.commit(t, map[string]string{"app/Dockerfile": dockerfile, "app/f": "one", "Dockerfile": "FROM nowhere\n"})
	r := w.request("")
	r.Git, r.GitToken = forge.url+"/repo.git#"+commit+":app", "s3cret"

	t.Run("with its token", func(t *testing.T) {
		res, files := w.build(t, r)
		if files["f"] != "one" {
			t.Errorf("f is %q", files["f"])
		}
		if files["tok"] != "" || files["env"] != "" {
			t.Errorf("a RUN could read the token: %q, %q", files["tok"], files["env"])
		}
		if !slices.ContainsFunc(res.Materials, func(m build.Material) bool { return m.Digest["sha1"] == commit }) {
			t.Errorf("materials %+v", res.Materials)
		}
		if strings.Contains(string(res.Provenance), "s3cret") {
			t.Error("the provenance has the token")
		}
	})
	t.Run("with the repository state", func(t *testing.T) {
		var pkg []string
		r := r
		for _, r.RepositoryState = range []string{"1", "1", "2"} {
			_, files := w.build(t, r)
			pkg = append(pkg, files["pkg"])
			if files["f"] != "one" {
				t.Errorf("f is %q: the context should still be the commit", files["f"])
			}
		}
		if pkg[0] != pkg[1] || pkg[1] == pkg[2] {
			t.Errorf("made %v, want the first two alike and the third not", pkg)
		}
	})
	t.Run("a new commit", func(t *testing.T) {
		r := r
		r.Git = forge.url + "/repo.git#" + forge.commit(t, map[string]string{"app/f": "two"}) + ":app"
		if _, files := w.build(t, r); files["f"] != "two" {
			t.Errorf("f is %q", files["f"])
		}
	})
	t.Run("with a wrong token", func(t *testing.T) {
		r := r
		r.Git, r.GitToken = forge.url+"/repo.git#"+forge.commit(t, map[string]string{"app/f": "three"})+":app", "wr0ng"
		err := w.fail(t, r)
		if !strings.HasPrefix(err.Reason, "fetch http://") || !strings.Contains(err.Reason, "git stderr: fatal: ") || strings.Contains(err.Error(), "wr0ng") || err.Lost || !err.Unfetched {
			t.Errorf("error %+v", err)
		}
	})
}

// forge is a git server that wants a token.
type forge struct{ url, dir string }

func newForge(t *testing.T, token string) *forge {
	t.Helper()
	f := &forge{dir: t.TempDir()}
	git(t, f.dir, "init", "-q", "-b", "main", "src")
	git(t, f.dir, "clone", "-q", "--bare", "src", "repo.git")
	path := strings.TrimSpace(git(t, f.dir, "--exec-path")) + "/git-http-backend"
	backend := &cgi.Handler{Path: path, Env: []string{"GIT_PROJECT_ROOT=" + f.dir, "GIT_HTTP_EXPORT_ALL=1"}}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p != token {
			rw.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(rw, r)
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *forge) commit(t *testing.T, files map[string]string) string {
	t.Helper()
	src := filepath.Join(f.dir, "src")
	for _, p := range slices.Sorted(maps.Keys(files)) {
		write(t, src, p, files[p])
	}
	git(t, src, "add", ".")
	git(t, src, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "change")
	git(t, src, "push", "-q", "../repo.git", "main")
	return strings.TrimSpace(git(t, src, "rev-parse", "HEAD"))
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return string(out)
}
