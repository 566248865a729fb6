package buildkit

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"rebuilder/internal/build"
)

func hash(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }

func TestPolicy(t *testing.T) {
	a := hash("a").String()
	tests := map[string]struct{ ref, selector, target string }{
		"a short name":           {"alpine", "EXACT docker-image://docker.io/library/alpine:latest", "docker.io/library/alpine:latest@" + a},
		"the long form is same":  {"docker.io/library/alpine:latest", "EXACT docker-image://docker.io/library/alpine:latest", "docker.io/library/alpine:latest@" + a},
		"an organisation":        {"acme/x:1", "EXACT docker-image://docker.io/acme/x:1", "docker.io/acme/x:1@" + a},
		"a registry with a port": {"127.0.0.1:5000/base/x:1", "EXACT docker-image://127.0.0.1:5000/base/x:1", "127.0.0.1:5000/base/x:1@" + a},
		"a digest":               {"r.io/x:1@" + hash("b").String(), "WILDCARD docker-image://r.io/x:1@*", "r.io/x:1@" + a},
		"a digest without tag":   {"r.io/x@" + hash("b").String(), "WILDCARD docker-image://r.io/x@*", "r.io/x@" + a},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := policy([]build.Pin{{Reference: tt.ref, Digest: hash("a")}})
			if err != nil {
				t.Fatal(err)
			}
			r := p.Rules[0]
			if got := r.Selector.MatchType.String() + " " + r.Selector.Identifier; got != tt.selector {
				t.Errorf("selector %s, want %s", got, tt.selector)
			}
			if got := r.Updates.Identifier; got != imageScheme+tt.target {
				t.Errorf("target %s, want %s", got, tt.target)
			}
		})
	}
}

func TestPolicyRefuses(t *testing.T) {
	tests := map[string]struct {
		pins []build.Pin
		want string
	}{
		"no reference":         {[]build.Pin{{Reference: "NOT a ref", Digest: hash("a")}}, `pin "NOT a ref"`},
		"two minds on one tag": {[]build.Pin{{Reference: "x:1", Digest: hash("a")}, {Reference: "x:1@" + hash("c").String(), Digest: hash("b")}}, "contradicts"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := policy(tt.pins); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestUnusedPin(t *testing.T) {
	materials := []build.Material{
		{URI: "pkg:docker/127.0.0.1%3A5000/base/x@1?digest=" + hash("a").String() + "&platform=linux%2Famd64", Digest: map[string]string{"sha256": hash("a").Hex}},
		{URI: "pkg:docker/alpine@latest?platform=linux%2Famd64", Digest: map[string]string{"sha256": hash("b").Hex}},
		{URI: "https://example.org/x.git#main"},
	}
	tests := map[string]struct {
		pin  build.Pin
		used bool
	}{
		"used":                   {build.Pin{Reference: "127.0.0.1:5000/base/x:1", Digest: hash("a")}, true},
		"used, was by digest":    {build.Pin{Reference: "127.0.0.1:5000/base/x:1@" + hash("9").String(), Digest: hash("a")}, true},
		"used, short name":       {build.Pin{Reference: "alpine", Digest: hash("b")}, true},
		"another digest":         {build.Pin{Reference: "alpine", Digest: hash("a")}, false},
		"another tag, same hash": {build.Pin{Reference: "127.0.0.1:5000/base/x:2", Digest: hash("a")}, false},
		"not there at all":       {build.Pin{Reference: "debian:12", Digest: hash("c")}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := unusedPin([]build.Pin{tt.pin}, materials); (got == nil) != tt.used {
				t.Errorf("unused pin is %v, want used = %v", got, tt.used)
			}
		})
	}
}
