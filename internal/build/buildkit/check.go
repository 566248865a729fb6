package buildkit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"rebuilder/internal/build"
)

// check refuses a request that no engine could do right.
func check(r build.Request) error {
	switch {
	case r.Reproducible && r.SourceDateEpoch.IsZero():
		return fmt.Errorf("a reproducible build needs a time for what it makes (SourceDateEpoch), the same in each build of the same inputs: that of the commit, for example")
	case r.Network != build.NetworkEngine && r.Network != build.NetworkNone:
		return fmt.Errorf("unknown network %q: there is %q, and %q for the engine's own", r.Network, build.NetworkNone, build.NetworkEngine)
	case r.Limits.Memory < 0 || r.Limits.CPUs < 0:
		return fmt.Errorf("limits cannot be less than nothing: memory %d, cpus %g", r.Limits.Memory, r.Limits.CPUs)
	}
	if err := checkCache(r.Cache); err != nil {
		return err
	}
	return checkSecrets(r)
}

func checkCache(ref string) error {
	if ref == "" {
		return nil
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("cache %q: %w", ref, err)
	}
	if _, digested := named.(reference.Digested); digested {
		return fmt.Errorf("cache %s is written to: name it by a tag, not by a digest", ref)
	}
	return nil
}

// checkSecrets refuses ids that are ours or BuildKit's own, and values that would be written down on their way.
func checkSecrets(r build.Request) error {
	for _, id := range slices.Sorted(maps.Keys(r.Secrets)) {
		value := r.Secrets[id]
		switch {
		case reserved(id):
			return fmt.Errorf("secret %s: the engine uses this id itself, give it another one", id)
		case len(value) > secretsprovider.MaxSecretSize:
			return fmt.Errorf("secret %s has %d bytes, the most is %d", id, len(value), secretsprovider.MaxSecretSize)
		}
		for what, given := range map[string]map[string]string{"argument": r.Args, "label": r.Labels} {
			for _, k := range slices.Sorted(maps.Keys(given)) {
				if len(value) >= minSecret && strings.Contains(given[k], string(value)) {
					return fmt.Errorf("%s %s has the value of secret %s, and anybody who has the image could read it there: use RUN --mount=type=secret,id=%s", what, k, id, id)
				}
			}
		}
	}
	return nil
}

// reserved says that a secret's id is one that BuildKit asks for of its own accord, or that is in a step for our sake.
func reserved(id string) bool {
	if id == aptSecret {
		return true
	}
	for _, own := range []string{llb.GitAuthTokenKey, llb.GitAuthHeaderKey} {
		if id == own || strings.HasPrefix(id, own+".") {
			return true
		}
	}
	return false
}
