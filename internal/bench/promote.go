package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"rebuilder/internal/promote"
	"rebuilder/internal/registry"
	"rebuilder/internal/registry/registrytest"
)

const (
	promotedPlatforms  = 3
	promotedLayerBytes = 1 << 20
	mostPerPlatform    = 6
)

// promotion is one way of getting an image to its channel, in a registry of its own. It returns what the registry was asked
// for, tokens and the first handshake included.
type promotion func(ctx context.Context, platforms int) (registrytest.Counts, error)

// measurePromote counts what promoting an image of three platforms takes inside one registry, beside crane.
func measurePromote(ctx context.Context) ([]Measure, error) {
	inside, err := ours("candidates/base", "candidates/base")(ctx, promotedPlatforms)
	if err != nil {
		return nil, err
	}
	across := ours("candidates/base", "base")
	three, err := across(ctx, promotedPlatforms)
	if err != nil {
		return nil, err
	}
	four, err := across(ctx, promotedPlatforms+1)
	if err != nil {
		return nil, err
	}
	craneInside, err := cranes("candidates/base", "candidates/base")(ctx, promotedPlatforms)
	if err != nil {
		return nil, err
	}
	craneAcross, err := cranes("candidates/base", "base")(ctx, promotedPlatforms)
	if err != nil {
		return nil, err
	}
	const what = "promotion of 3 platforms, "
	return []Measure{
		atMost(0, what+"blob bytes moved", float64(inside.BlobBytes), "B"),
		atMost(mostPerPlatform, what+"requests a platform", float64(inside.Requests)/promotedPlatforms, "requests"),
		known(what+"requests in all, release and channel", float64(inside.Requests), "requests"),
		known(what+"requests in all, crane copy to one tag", float64(craneInside.Requests), "requests"),
		atMost(0, what+"to another repository: blob bytes moved", float64(three.BlobBytes), "B"),
		atMost(mostPerPlatform, what+"to another repository: requests for one platform more", float64(four.Requests-three.Requests), "requests"),
		known(what+"to another repository: requests in all, referrers, release and channel", float64(three.Requests), "requests"),
		known(what+"to another repository: requests in all, crane copy to one tag", float64(craneAcross.Requests), "requests"),
		known(what+"to another repository: blob bytes moved by crane copy", float64(craneAcross.BlobBytes), "B"),
	}, nil
}

// ours promotes with a release tag, from one repository to another or inside one.
func ours(from, to string) promotion {
	return promoting(from, func(ctx context.Context, host string, digest v1.Hash) error {
		client, err := registry.New(registry.Config{})
		if err != nil {
			return err
		}
		got, err := promote.Promote(ctx, client, promote.Request{Repository: host + "/" + to, From: host + "/" + from, Channel: "stable", Digest: digest, Release: "20261121"})
		if err == nil && (!got.Moved || !got.Released) {
			err = fmt.Errorf("it was not promoted: %+v", got)
		}
		return err
	})
}

// cranes copies to the channel, with neither a look at it nor a release tag nor what refers to the image.
func cranes(from, to string) promotion {
	return promoting(from, func(ctx context.Context, host string, digest v1.Hash) error {
		return crane.Copy(host+"/"+from+"@"+digest.String(), host+"/"+to+":stable", crane.WithContext(ctx))
	})
}

func promoting(from string, act func(ctx context.Context, host string, digest v1.Hash) error) promotion {
	return func(ctx context.Context, platforms int) (registrytest.Counts, error) {
		reg := registrytest.New()
		srv := httptest.NewServer(reg)
		defer srv.Close()
		host := strings.TrimPrefix(srv.URL, "http://")
		digest, err := pushIndex(ctx, host, from, platforms)
		if err != nil {
			return registrytest.Counts{}, err
		}
		reg.Counted()
		err = act(ctx, host, digest)
		return reg.Counted(), err
	}
}

// pushIndex pushes an image of several platforms, each of one layer as bases have it.
func pushIndex(ctx context.Context, host, repository string, platforms int) (v1.Hash, error) {
	var idx v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i := range platforms {
		img, err := random.Image(promotedLayerBytes, 1)
		if err != nil {
			return v1.Hash{}, err
		}
		cpu := fmt.Sprint("cpu", i)
		if err := crane.Push(img, host+"/"+repository+":"+cpu, crane.WithContext(ctx)); err != nil {
			return v1.Hash{}, err
		}
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: cpu}}})
	}
	digest, err := idx.Digest()
	if err != nil {
		return digest, err
	}
	body, err := idx.RawManifest()
	if err != nil {
		return digest, err
	}
	return digest, putManifest(ctx, "http://"+host+"/v2/"+repository+"/manifests/"+digest.String(), body)
}

func putManifest(ctx context.Context, url string, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", string(types.OCIImageIndex))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("push %s: %s", url, resp.Status)
	}
	return nil
}
