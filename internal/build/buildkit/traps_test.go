package buildkit_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/tonistiigi/fsutil"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

// BuildKit does what it is told, and some of that is not what one would think. TestTraps shows what happens to who uses it
// plainly, and that a build of ours is not caught. Where showing it takes more than a solve, another test does:
//
//	a digest of the index of a parent, which another attestation changes, runs everything again   TestTraps
//	a rule for a tag is none for the same tag with a digest                                        TestTraps, TestPins
//	a rule that matches nothing is not mentioned                                                   TestTraps, TestPins
//	a named context takes the place of a stage of its name                                         TestTraps, TestPins
//	`# syntax=` is fetched from a registry                                                         TestTraps, TestBuild
//	times in layers differ from build to build, with SOURCE_DATE_EPOCH, too                        TestTraps, TestReproducible
//	a layer whose times could not be bounded is only in the engine's log                           TestYounger
//	no-cache of one stage makes an image that is stale                                             TestTraps, TestRepositoryState
//	no-cache of a stage without a name does nothing                                                TestTraps
//	what a parent's ONBUILD runs is in no Dockerfile, where it could be keyed                      TestTraps
//	what a secret holds is in no cache key                                                         TestTraps, TestRepositoryState
//	files of one size and time are taken for the same                                              TestBuild, TestRepositoryState
//	of steps from the cache nobody knows what they fetched                                         TestNetwork
//	an image of another platform is taken without a word, and labelled as asked for                TestTraps, TestPlatformOfTheResult
//	what was imported of a cache is known for one build                                            TestTraps, TestSharedCache
//	a cache that is not there is a line in the log                                                 TestSharedCache
//	a client is made for an address where nobody is                                                TestTraps, TestOpenFails
//	the end of a context is not context.Canceled                                                   TestTraps, TestCancel
//	an engine that dies is a broken connection, and its steps go on                                TestKilledChild, TestKilledParent
//	SIGTERM waits for what runs                                                                    TestClose
//	an engine that is lost takes its build with it                                                 TestPoolLost, TestKilledWorker
func TestTraps(t *testing.T) {
	w := openWorld(t)
	c, err := client.New(t.Context(), w.engine.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := plain{w, c}

	t.Run("the index of a parent", p.indexOfAParent)
	t.Run("a rule for a tag", p.ruleForATag)
	t.Run("a rule that matches nothing", p.ruleThatMatchesNothing)
	t.Run("a named context", p.namedContext)
	t.Run("syntax", p.syntax)
	t.Run("times in layers", p.timesInLayers)
	t.Run("no-cache of one stage", p.noCacheOfOneStage)
	t.Run("no-cache of a stage without a name", p.noCacheOfNoName)
	t.Run("a parent's ONBUILD RUN", p.onBuildRun)
	t.Run("a secret's value", p.secretsValue)
	t.Run("another platform", p.anotherPlatform)
	t.Run("what was imported", p.whatWasImported)
	t.Run("an address where nobody is", p.nobodyThere)
	t.Run("the end of a context", p.endOfAContext)
}

// plain is BuildKit as it comes.
type plain struct {
	w *world
	c *client.Client
}

// solve builds a Dockerfile, in which REG is the registry, and pushes it to /plain.
func (p plain) solve(ctx context.Context, t *testing.T, dockerfile string, change func(*client.SolveOpt)) (map[string]string, error) {
	t.Helper()
	fs, err := fsutil.NewFS(p.w.context(t, dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	opt := client.SolveOpt{
		Frontend:      "dockerfile.v0",
		FrontendAttrs: map[string]string{"platform": platform},
		LocalMounts:   map[string]fsutil.FS{"context": fs, "dockerfile": fs},
		Exports:       []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": p.w.registry + "/plain", "push": "true", "push-by-digest": "true", "name-canonical": "true"}}},
	}
	if change != nil {
		change(&opt)
	}
	updates := make(chan *client.SolveStatus)
	go func() {
		for range updates {
		}
	}()
	res, err := p.c.Solve(ctx, nil, opt, updates)
	if err != nil {
		return nil, err
	}
	return res.ExporterResponse, nil
}

// built is solve for what must succeed: the digest and the files.
func (p plain) built(t *testing.T, dockerfile string, change func(*client.SolveOpt)) (v1.Hash, map[string]string) {
	t.Helper()
	res, err := p.solve(t.Context(), t, dockerfile, change)
	if err != nil {
		t.Fatal(err)
	}
	h, err := v1.NewHash(res["containerimage.digest"])
	if err != nil {
		t.Fatal(err)
	}
	return h, p.w.files(t, p.w.registry+"/plain", h)
}

// trapped fails a test that has nothing to show: BuildKit has changed, and so may we.
func trapped(t *testing.T, is bool, what string) {
	t.Helper()
	if !is {
		t.Errorf("BuildKit is no longer as it was: %s. Look whether what we do about it is still needed", what)
	}
}

const uuid = "cat /proc/sys/kernel/random/uuid"

func policyTo(from, to string) *spb.Policy {
	return &spb.Policy{Version: 1, Rules: []*spb.Rule{{
		Action:   spb.PolicyAction_CONVERT,
		Selector: &spb.Selector{Identifier: "docker-image://" + from, MatchType: spb.MatchType_EXACT},
		Updates:  &spb.Update{Identifier: "docker-image://" + to},
	}}}
}

func (p plain) indexOfAParent(t *testing.T) {
	parent, child := "FROM REG/base/busybox:1\nRUN "+uuid+" > /parent\n", "FROM REG/plain:1\nRUN "+uuid+" > /child\n"
	attested := func() (index, manifest v1.Hash) {
		res, err := p.solve(t.Context(), t, parent, func(o *client.SolveOpt) { o.FrontendAttrs["attest:provenance"] = "mode=max" })
		if err != nil {
			t.Fatal(err)
		}
		d, err := name.NewDigest(p.w.registry + "/plain@" + res["containerimage.digest"])
		if err != nil {
			t.Fatal(err)
		}
		idx, err := remote.Index(d)
		if err != nil {
			t.Fatal(err)
		}
		m, err := idx.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if index, err = idx.Digest(); err != nil {
			t.Fatal(err)
		}
		return index, m.Manifests[0].Digest
	}
	on := func(d v1.Hash) string {
		_, files := p.built(t, child, func(o *client.SolveOpt) {
			o.SourcePolicy = policyTo(p.w.registry+"/plain:1", p.w.registry+"/plain:1@"+d.String())
		})
		return files["child"]
	}
	index, manifest := attested()
	again, same := attested()
	trapped(t, index != again && manifest == same, "the same parent has the same index")
	trapped(t, on(index) != on(again), "the digest of an index is no cache key")

	r := p.w.request(p.w.context(t, child))
	r.Pins = []build.Pin{{Reference: p.w.registry + "/plain:1", Digest: manifest}}
	_, one := p.w.build(t, r)
	r.Pins[0].Digest = same
	if _, two := p.w.build(t, r); one["child"] != two["child"] {
		t.Error("the same parent has run a step again")
	}
}

func (p plain) ruleForATag(t *testing.T) {
	old, young := p.w.with(t, "base/tag:1", "ver", "old"), p.w.with(t, "base/tag:2", "ver", "new")
	x := p.w.registry + "/base/tag:1"
	dockerfile := "FROM REG/base/tag:1@" + old.String() + "\nRUN cat /ver > /out\n"
	_, files := p.built(t, dockerfile, func(o *client.SolveOpt) { o.SourcePolicy = policyTo(x, x+"@"+young.String()) })
	trapped(t, files["out"] == "old", "a rule for a tag is one for the tag with a digest")

	for _, reference := range []string{x, x + "@" + old.String()} {
		r := p.w.request(p.w.context(t, dockerfile))
		r.Pins = []build.Pin{{Reference: reference, Digest: young}}
		res, err := p.w.engine.Build(t.Context(), r)
		if err == nil && p.w.files(t, r.Repository, res.Digest)["out"] != "new" {
			t.Errorf("the pin of %s was passed over", reference)
		}
	}
}

func (p plain) ruleThatMatchesNothing(t *testing.T) {
	young := p.w.with(t, "base/tag:2", "ver", "new")
	_, err := p.solve(t.Context(), t, "FROM REG/base/busybox:1\nRUN true\n", func(o *client.SolveOpt) {
		o.SourcePolicy = policyTo(p.w.registry+"/base/other:1", p.w.registry+"/base/other:1@"+young.String())
	})
	trapped(t, err == nil, "a rule that matches nothing is an error")

	r := p.w.request(p.w.context(t, "FROM REG/base/busybox:1\nRUN true\n"))
	r.Pins = []build.Pin{{Reference: p.w.registry + "/base/other:1", Digest: young}}
	if err := p.w.fail(t, r); !strings.Contains(err.Reason, "did not use the pin") {
		t.Errorf("reason %q", err.Reason)
	}
}

func (p plain) namedContext(t *testing.T) {
	young := p.w.with(t, "base/tools:2", "ver", "new")
	dockerfile := "FROM REG/base/busybox:1 AS tools\nRUN echo made > /made\nFROM REG/base/busybox:1\nCOPY --from=tools /made /made\n"
	_, err := p.solve(t.Context(), t, dockerfile, func(o *client.SolveOpt) {
		o.FrontendAttrs["context:tools"] = "docker-image://" + p.w.registry + "/base/tools@" + young.String()
	})
	trapped(t, err != nil, "a named context leaves a stage of its name alone")

	// Our own contexts have names of ours, and pins are no contexts.
	r := p.w.request(p.w.context(t, strings.ReplaceAll(dockerfile, "RUN", "RUN apk() { true; }; apk add x;")))
	r.RepositoryState, r.Fresh = "1", "1"
	if _, files := p.w.build(t, r); files["made"] != "made" {
		t.Errorf("files %v", files)
	}
}

func (p plain) syntax(t *testing.T) {
	dockerfile := "# syntax=REG/docker/dockerfile:1\nFROM REG/base/busybox:1\n"
	_, err := p.solve(t.Context(), t, dockerfile, nil)
	trapped(t, err != nil, "the frontend of a syntax line is not fetched")
	p.w.build(t, p.w.request(p.w.context(t, dockerfile)))
}

func (p plain) timesInLayers(t *testing.T) {
	const epoch = "1700000000"
	build := func(args map[string]string) v1.Hash {
		d, _ := p.built(t, "FROM REG/base/busybox:1\nRUN echo text > /text\n", func(o *client.SolveOpt) {
			maps.Copy(o.FrontendAttrs, args)
			o.FrontendAttrs["no-cache"] = ""
		})
		time.Sleep(1100 * time.Millisecond) // layers hold whole seconds
		return d
	}
	one, two := build(nil), build(nil)
	trapped(t, one != two, "two builds are the same")
	args := map[string]string{"build-arg:SOURCE_DATE_EPOCH": epoch}
	one, two = build(args), build(args)
	trapped(t, one != two, "SOURCE_DATE_EPOCH alone makes two builds the same")
	// TestReproducible has two of ours.
}

func (p plain) noCacheOfOneStage(t *testing.T) {
	dockerfile := strings.Join([]string{
		"FROM REG/base/busybox:1 AS up", "RUN " + uuid + " > /pkg",
		"FROM up AS mid", "RUN cat /pkg > /mid", "RUN cat /mid > /late",
		"FROM REG/base/busybox:1", "COPY --from=mid /late /late",
	}, "\n")
	_, before := p.built(t, dockerfile, nil)
	_, after := p.built(t, dockerfile, func(o *client.SolveOpt) { o.FrontendAttrs["no-cache"] = "up" })
	trapped(t, before["late"] == after["late"], "what follows a stage without cache is run again")

	ours := strings.ReplaceAll(dockerfile, "RUN "+uuid, "RUN apk() { "+uuid+"; }; apk add x")
	r := p.w.request(p.w.context(t, ours))
	r.RepositoryState = "1"
	_, before = p.w.build(t, r)
	r.RepositoryState = "2"
	if _, after = p.w.build(t, r); before["late"] == after["late"] {
		t.Error("the image is stale")
	}
}

func (p plain) noCacheOfNoName(t *testing.T) {
	dockerfile := "FROM REG/base/busybox:1 AS other\nRUN true\nFROM REG/base/busybox:1\nCOPY --from=other /bin/sh /x\nRUN " + uuid + " > /pkg\n"
	_, before := p.built(t, dockerfile, nil)
	_, after := p.built(t, dockerfile, func(o *client.SolveOpt) { o.FrontendAttrs["no-cache"] = "stage-1" })
	trapped(t, before["pkg"] == after["pkg"], "a stage without a name can be named")

	r := p.w.request(p.w.context(t, strings.ReplaceAll(dockerfile, "RUN "+uuid, "RUN apk() { "+uuid+"; }; apk add x")))
	r.RepositoryState = "1"
	_, before = p.w.build(t, r)
	r.RepositoryState = "2"
	if _, after = p.w.build(t, r); before["pkg"] == after["pkg"] {
		t.Error("the image is stale")
	}
}

func (p plain) secretsValue(t *testing.T) {
	dockerfile := "FROM REG/base/busybox:1\nRUN --mount=type=secret,id=state cat /run/secrets/state > /state\n"
	var got []string
	for _, value := range []string{"one", "two"} {
		_, files := p.built(t, dockerfile, func(o *client.SolveOpt) {
			o.Session = []session.Attachable{secretsprovider.FromMap(map[string][]byte{"state": []byte(value)})}
		})
		got = append(got, files["state"])
	}
	trapped(t, slices.Equal(got, []string{"one", "one"}), "another secret runs a step again")
	// The state of the repositories is therefore no secret: see TestRepositoryState.
}

func (p plain) anotherPlatform(t *testing.T) {
	arm := p.w.push(t, "base/other:1", image(t, nil, "arm64"))
	dockerfile := "FROM REG/base/other@" + arm.String() + "\nCOPY Dockerfile /\n"
	d, _ := p.built(t, dockerfile, nil)
	ref, err := name.NewDigest(p.w.registry + "/plain@" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	trapped(t, cfg.Architecture == "amd64", "an image of another platform is not taken, or told by its label")

	if err := p.w.fail(t, p.w.request(p.w.context(t, dockerfile))); !strings.Contains(err.Reason, "is for linux/arm64") {
		t.Errorf("reason %q", err.Reason)
	}
}

func (p plain) whatWasImported(t *testing.T) {
	dockerfile, cache := "FROM REG/base/busybox:1\nRUN "+uuid+" > /out\n", map[string]string{"ref": p.w.registry + "/cache:plain"}
	_, first := p.built(t, dockerfile, func(o *client.SolveOpt) {
		to := maps.Clone(cache)
		to["mode"] = "max"
		o.CacheExports = []client.CacheOptionsEntry{{Type: "registry", Attrs: to}}
	})
	e, err := buildkit.Open(t.Context(), buildkit.Config{Root: shortDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	c, err := client.New(t.Context(), e.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	empty := plain{p.w, c}
	imported := func(o *client.SolveOpt) {
		o.CacheImports = []client.CacheOptionsEntry{{Type: "registry", Attrs: cache}}
	}
	_, with := empty.built(t, dockerfile, imported)
	_, without := empty.built(t, dockerfile, nil)
	trapped(t, with["out"] == first["out"] && without["out"] != first["out"], "what was imported stays")
	// Ours imports each time: see TestSharedCache.
}

func (p plain) nobodyThere(t *testing.T) {
	const address = "tcp://127.0.0.1:1"
	c, err := client.New(t.Context(), address)
	trapped(t, err == nil, "a client is not made for an address where nobody is")
	if err == nil {
		c.Close()
	}
	if e, err := buildkit.Open(t.Context(), buildkit.Config{Address: address}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("opened %v, %v", e, err)
	}
}

func (p plain) endOfAContext(t *testing.T) {
	const dockerfile = "FROM REG/base/busybox:1\nRUN sleep 71005\n"
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		until(t, "the step's process", func() bool { return running("71005") })
		cancel()
	}()
	_, err := p.solve(ctx, t, dockerfile, nil)
	trapped(t, err != nil && !errors.Is(err, context.Canceled), "a cancelled solve returns context.Canceled")
	// Ours does: see TestCancel.
}

// onBuildRun: a step that a parent brings is in no recipe's text, where it could be keyed.
func (p plain) onBuildRun(t *testing.T) {
	const child = "FROM REG/plain:onbuild\nRUN cat /random > /later\n"
	_, _ = p.built(t, "FROM REG/base/busybox:1\nONBUILD RUN cat /proc/sys/kernel/random/uuid > /random\n", func(o *client.SolveOpt) {
		o.Exports[0].Attrs = map[string]string{"name": p.w.registry + "/plain:onbuild", "push": "true"}
	})
	r := p.w.request(p.w.context(t, child))
	r.RepositoryState = "one"
	_, one := p.w.build(t, r)
	r.RepositoryState = "two"
	_, two := p.w.build(t, r)
	trapped(t, one["random"] == two["random"], "the step of a parent's ONBUILD is keyed by the state")
	r.Uncached = true
	_, three := p.w.build(t, r)
	if three["random"] == two["random"] || three["later"] != three["random"] {
		t.Errorf("%q after %q, then %q: a step came from the cache", three["random"], two["random"], three["later"])
	}
}
