package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// peers rebuild a tree with the programs that people use without a daemon, on the daemon's own engine: the same recipes,
// whose package steps run again for the same reason, a file that is mounted into them and whose content is another one.
type peers struct {
	buildctl, buildx string // programs
	engine           string // "unix:///.../buildkitd.sock"
	registry         string // "127.0.0.1:5510"
	dir              string // below which they have their files
	tree             *tree
	gate             *gate
}

const (
	buildctlName = "buildctl"
	gatedName    = "gated" // buildctl, and gates
	bakeName     = "bake"
	builderName  = "bench" // of buildx
)

// prepare writes the recipes, and makes the engine known to buildx.
func (p *peers) prepare(ctx context.Context) error {
	for _, i := range p.tree.images {
		if err := os.MkdirAll(p.contextOf(i), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.contextOf(i), "Dockerfile"), []byte(marked(i.recipe)), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(p.state(), 0o755); err != nil {
		return err
	}
	return p.exec(ctx, p.buildx, "create", "--name", builderName, "--driver", "remote", p.engine)
}

// marked mounts the state into the steps of a recipe, as the daemon does.
func marked(recipe string) string {
	return strings.ReplaceAll(recipe, "\nRUN ", "\nRUN --mount=type=bind,from=state,target=/run/.state ")
}

func (p *peers) contextOf(i *treeImage) string { return filepath.Join(p.dir, "recipes", i.target) }
func (p *peers) state() string                 { return filepath.Join(p.dir, "state") }
func (p *peers) metadata(name string) string   { return filepath.Join(p.dir, name+".json") }

// repository is where a program pushes an image to. Each has its own: what one has pushed would be there for the next.
func (p *peers) repository(program string, i *treeImage) string {
	return p.registry + "/" + program + "/" + i.target
}

// setState makes the package steps run again.
func (p *peers) setState(content string) error {
	return os.WriteFile(filepath.Join(p.state(), "state"), []byte(content), 0o644)
}

// withBuildctl solves one image after the other, each as soon as what it stands on has been pushed, and returns the
// digests by image. No order is faster; the tree is nowhere wider than what the daemon builds at once.
func (p *peers) withBuildctl(ctx context.Context) (map[*treeImage]string, error) {
	return p.inOrder(ctx, buildctlName, func(context.Context, string, string) error { return nil })
}

// withGates is withBuildctl, with gates that each image passes before the next ones begin.
func (p *peers) withGates(ctx context.Context) (map[*treeImage]string, error) {
	return p.inOrder(ctx, gatedName, p.gate.pass)
}

func (p *peers) inOrder(ctx context.Context, name string, pass func(ctx context.Context, repository, digest string) error) (map[*treeImage]string, error) {
	var mu sync.Mutex
	digests := map[*treeImage]string{}
	group, ctx := errgroup.WithContext(ctx)
	var rebuild func(i *treeImage, parent string) error
	rebuild = func(i *treeImage, parent string) error {
		repository := p.repository(name, i)
		digest, err := p.solve(ctx, i, parent, repository)
		if err != nil {
			return err
		}
		if err := pass(ctx, repository, digest); err != nil {
			return fmt.Errorf("gates of %s@%s: %w", repository, digest, err)
		}
		mu.Lock()
		digests[i] = digest
		mu.Unlock()
		for _, c := range i.children {
			group.Go(func() error { return rebuild(c, repository+"@"+digest) })
		}
		return nil
	}
	for _, i := range p.tree.roots() {
		group.Go(func() error { return rebuild(i, "") })
	}
	return digests, group.Wait()
}

// solve builds and pushes one image on its parent, which is empty when that is as the recipe says.
func (p *peers) solve(ctx context.Context, i *treeImage, parent, repository string) (digest string, err error) {
	metadata := p.metadata("buildctl-" + i.target)
	args := []string{"--addr", p.engine, "build", "--progress", "plain", "--frontend", "dockerfile.v0",
		"--local", "context=" + p.contextOf(i), "--local", "dockerfile=" + p.contextOf(i),
		"--opt", "context:state=local:state", "--local", "state=" + p.state(),
		"--output", "type=image," + pushed(repository), "--metadata-file", metadata}
	if parent != "" {
		args = append(args, "--opt", "context:"+i.from+"=docker-image://"+parent)
	}
	if err := p.exec(ctx, p.buildctl, args...); err != nil {
		return "", err
	}
	var m built
	return m.Digest, readJSON(metadata, &m)
}

// built is what both programs write of an image.
type built struct {
	Digest string `json:"containerimage.digest"`
}

func pushed(repository string) string {
	return "name=" + repository + ",push=true,push-by-digest=true,name-canonical=true"
}

// bakeTarget is a target of a bake file.
type bakeTarget struct {
	Context  string            `json:"context"`
	Contexts map[string]string `json:"contexts"`
	Output   []string          `json:"output"`
}

// withBake has buildx order the solves by itself, and returns the digests by image.
func (p *peers) withBake(ctx context.Context) (map[*treeImage]string, error) {
	var file struct {
		Group  map[string]map[string][]string `json:"group"`
		Target map[string]bakeTarget          `json:"target"`
	}
	var all []string
	file.Target = map[string]bakeTarget{}
	for _, i := range p.tree.images {
		t := bakeTarget{
			Context: p.contextOf(i), Contexts: map[string]string{"state": p.state()},
			Output: []string{"type=image," + pushed(p.repository(bakeName, i))},
		}
		if i.parent != nil {
			t.Contexts[i.from] = "target:" + i.parent.target
		}
		file.Target[i.target] = t
		all = append(all, i.target)
	}
	file.Group = map[string]map[string][]string{"default": {"targets": all}}
	b, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	bakeFile, metadata := filepath.Join(p.dir, "docker-bake.json"), p.metadata(bakeName)
	if err := os.WriteFile(bakeFile, b, 0o644); err != nil {
		return nil, err
	}
	if err := p.exec(ctx, p.buildx, "bake", "--builder", builderName, "--progress", "plain", "--file", bakeFile, "--metadata-file", metadata); err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage // other things are in it, too
	if err := readJSON(metadata, &m); err != nil {
		return nil, err
	}
	digests := map[*treeImage]string{}
	for _, i := range p.tree.images {
		var b built
		if err := json.Unmarshal(m[i.target], &b); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", i.target, metadata, err)
		}
		digests[i] = b.Digest
	}
	return digests, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// exec runs a program to its end. It has directories of its own for what it remembers, and the same work as the daemon: no
// attestations inside the image, and no questions about what it may read.
func (p *peers) exec(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+p.dir, "BUILDX_CONFIG="+filepath.Join(p.dir, "buildx"),
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1", "BUILDX_BAKE_ENTITLEMENTS_FS=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		const most = 4 << 10
		return fmt.Errorf("%s %s: %w; it ends:\n%s", filepath.Base(program), args[0], err, out[max(0, len(out)-most):])
	}
	return nil
}
