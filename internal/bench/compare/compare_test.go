package main

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestConstraints(t *testing.T) {
	for events, want := range map[string][]string{
		`[{"introduced":"0"}]`:                                                          {""},
		`[{"introduced":"0"},{"fixed":"1.2"}]`:                                          {"< 1.2"},
		`[{"introduced":"1"},{"last_affected":"1.2"}]`:                                  {">= 1, <= 1.2"},
		`[{"introduced":"0"},{"fixed":"1.2"},{"introduced":"2.0.0-0"},{"fixed":"2.1"}]`: {"< 1.2", ">= 2.0.0-0, < 2.1"},
		`[{"introduced":"0"},{"fixed":"1.2"},{"introduced":"2"}]`:                       {"< 1.2", ">= 2"},
	} {
		var a affected
		if err := json.Unmarshal([]byte(`{"ranges":[{"type":"GIT","events":[{"introduced":"abc"}]},{"type":"SEMVER","events":`+events+`}]}`), &a); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range a.intervals() {
			got = append(got, i.constraint())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", events, got, want)
		}
	}
}

func TestOneName(t *testing.T) {
	for want, urls := range map[string][]string{
		"deb libgmp10 2:6.2.1-1":            {"pkg:deb/debian/libgmp10@2:6.2.1-1?arch=amd64", "pkg:deb/debian/libgmp10@6.2.1-1?arch=amd64&epoch=2"},
		"rpm bash 5.1.8-6.el9":              {"pkg:rpm/almalinux/bash@5.1.8-6.el9?epoch=0", "pkg:rpm/alma/bash@5.1.8-6.el9"},
		"golang stdlib 1.19.8":              {"pkg:golang/stdlib@1.19.8", "pkg:golang/stdlib@v1.19.8"},
		"golang github.com/a/b 1.0.0":       {"pkg:golang/github.com/a/b@v1.0.0"},
		"npm @babel/core 7.20.15":           {"pkg:npm/%40babel/core@7.20.15"},
		"maven com.google.inject:guice 4.2": {"pkg:maven/com.google.inject/guice@4.2"},
	} {
		for _, url := range urls {
			all := packages{}
			if err := all.add(url, ""); err != nil {
				t.Fatal(err)
			}
			for got := range all {
				if got.String() != want {
					t.Errorf("%s is %s, want %s", url, got, want)
				}
			}
		}
	}
}
