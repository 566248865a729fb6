package buildkit

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/util/purl"

	"rebuilder/internal/build"
)

const imageScheme = "docker-image://"

// policy turns pins into rules that replace image sources before they are resolved, so the original need not exist
// any more. The target keeps the tag, for the provenance to name it. It returns nil for no pins.
func policy(pins []build.Pin) (*spb.Policy, error) {
	if len(pins) == 0 {
		return nil, nil
	}
	p := &spb.Policy{Version: 1}
	seen := map[string]build.Pin{}
	for _, pin := range pins {
		name, digested, err := canonical(pin.Reference)
		if err != nil {
			return nil, err
		}
		if other, ok := seen[name]; ok && other.Digest != pin.Digest {
			// The rules would be applied to each other's result.
			return nil, fmt.Errorf("pin %s to %s contradicts pin %s to %s", pin.Reference, pin.Digest, other.Reference, other.Digest)
		}
		seen[name] = pin
		p.Rules = append(p.Rules, convert(name, digested, pin))
	}
	return p, nil
}

func convert(name string, digested bool, pin build.Pin) *spb.Rule {
	sel := &spb.Selector{Identifier: imageScheme + name, MatchType: spb.MatchType_EXACT}
	if digested { // `name@*` matches its own result too, which BuildKit takes as the end
		sel = &spb.Selector{Identifier: imageScheme + name + "@*", MatchType: spb.MatchType_WILDCARD}
	}
	return &spb.Rule{
		Action:   spb.PolicyAction_CONVERT,
		Selector: sel,
		Updates:  &spb.Update{Identifier: imageScheme + name + "@" + pin.Digest.String()},
	}
}

// canonical is a reference's full name and tag, without its digest, as BuildKit names sources:
// "alpine" is "docker.io/library/alpine:latest".
func canonical(ref string) (name string, digested bool, err error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", false, fmt.Errorf("pin %q: %w", ref, err)
	}
	named = reference.TagNameOnly(named)
	name = named.Name()
	if t, ok := named.(reference.Tagged); ok {
		name += ":" + t.Tag()
	}
	_, digested = named.(reference.Digested)
	return name, digested, nil
}

// unusedPin returns the first pin that had to be used and that no material of the build shows, or nil. BuildKit is silent about a rule that
// matched nothing.
func unusedPin(pins []build.Pin, materials []build.Material) *build.Pin {
	used := map[string]bool{}
	for _, m := range materials {
		if !strings.HasPrefix(m.URI, "pkg:docker/") {
			continue
		}
		ref, _, err := purl.PURLToRef(m.URI)
		if err != nil {
			continue
		}
		if name, _, err := canonical(ref); err == nil {
			used[name+"@sha256:"+m.Digest["sha256"]] = true
		}
	}
	for _, pin := range pins {
		name, _, err := canonical(pin.Reference)
		if pin.Optional {
			continue
		}
		if err != nil || !used[name+"@"+pin.Digest.String()] {
			return &pin
		}
	}
	return nil
}
