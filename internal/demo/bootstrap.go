package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"os"

	"rebuilder/internal/build"
	"rebuilder/internal/catalog"
)

// Bootstrap builds the bases, in the catalog's order, and tags each on its channel, creates the applications' repositories
// and waits until CI has built each once. What is there already is left alone: a base whose channel the daemon has filled,
// a repository with its history, an image that was built from the tip of its branch.
//
// CI builds with its own builder (SetBuilder or Options.Builder); without one it is given b.
func (w *World) Bootstrap(ctx context.Context, b build.Builder) error {
	for _, base := range w.catalog.Bases {
		if err := w.bootstrapBase(ctx, b, base); err != nil {
			return fmt.Errorf("build %s for the first time: %w", base.Name, err)
		}
	}
	for _, app := range w.catalog.Applications {
		if err := w.addRepository(ctx, app); err != nil {
			return fmt.Errorf("make repository %s: %w", app.Repository, err)
		}
	}
	w.ci.setDefaultBuilder(b)
	if err := w.ci.catchUp(ctx); err != nil {
		return err
	}
	if err := w.ci.idle(ctx); err != nil {
		return fmt.Errorf("build the applications for the first time: %w", err)
	}
	w.say("%d applications built", len(w.catalog.Applications))
	return nil
}

func (w *World) bootstrapBase(ctx context.Context, b build.Builder, base catalog.Base) error {
	tag, err := name.NewTag(base.Reference())
	if err != nil {
		return err
	}
	if _, err := remote.Head(tag, remote.WithContext(ctx)); err == nil {
		return nil
	} else if !notFound(err) {
		return err
	}
	w.say("building %s", base.Name)
	result, err := b.Build(ctx, build.Request{
		ID:         "bootstrap-" + strings.ReplaceAll(base.Name, "/", "-") + "-" + strconv.FormatInt(time.Now().UnixMilli(), 36),
		Image:      base.Name,
		Dir:        base.Context,
		Dockerfile: base.Dockerfile,
		Target:     base.Target,
		Args:       base.Args,
		Platform:   base.Platform,
		Repository: base.Image,
		Labels:     base.Labels,
	})
	if err != nil {
		return err
	}
	return tagDigest(ctx, tag, result.Digest)
}

// addRepository makes an application's repository from the world's copy of the example, digests filled in.
func (w *World) addRepository(ctx context.Context, app catalog.Application) error {
	owner, repo, ok := strings.Cut(app.Repository, "/")
	if !ok {
		return errors.New("it is not owner/name")
	}
	content := os.DirFS(w.Dir)
	files := map[string][]byte{}
	root := path.Join("apps", app.Name)
	err := fs.WalkDir(content, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(content, p)
		if err != nil {
			return err
		}
		files[strings.TrimPrefix(p, root+"/")], err = pin(ctx, data)
		return err
	})
	if err != nil {
		return err
	}
	return w.forge.AddRepository(owner, repo, files)
}

// placeholders finds references that are pinned to the digest that the example cannot know.
var placeholders = regexp.MustCompile(`\S+` + placeholder)

// pin replaces placeholders by the digests that their tags have now.
func pin(ctx context.Context, data []byte) ([]byte, error) {
	var failed error
	pinned := placeholders.ReplaceAllFunc(data, func(found []byte) []byte {
		tagged := strings.TrimSuffix(string(found), placeholder)
		ref, err := name.NewTag(tagged)
		var desc *v1.Descriptor
		if err == nil {
			desc, err = remote.Head(ref, remote.WithContext(ctx))
		}
		if err != nil {
			failed = errors.Join(failed, err)
			return found
		}
		return []byte(tagged + "@" + desc.Digest.String())
	})
	return pinned, failed
}

// revision is the commit from which the image at ref was built, "" when there is no image.
func revision(ctx context.Context, ref string) (string, error) {
	tag, err := name.NewTag(ref)
	if err != nil {
		return "", err
	}
	img, err := remote.Image(tag, remote.WithContext(ctx))
	if notFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("read %s: %w", ref, err)
	}
	return config.Config.Labels[revisionLabel], nil
}

func notFound(err error) bool {
	var t *transport.Error
	return errors.As(err, &t) && t.StatusCode == http.StatusNotFound
}
