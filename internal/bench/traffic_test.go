package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestTraffic(t *testing.T) {
	tr := &traffic{}
	passed := 0
	next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed++ })
	registry, forge, packages := tr.registry.in(next), tr.forge.in(next), tr.packages.in(next)
	ask := func(h http.Handler, method string) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, "/", nil))
	}
	ask(registry, http.MethodPut)
	before := tr.now()
	ask(registry, http.MethodHead)
	ask(registry, http.MethodPatch)
	ask(forge, http.MethodGet)
	ask(forge, http.MethodGet)
	ask(forge, http.MethodPost)
	ask(packages, http.MethodGet)
	if got, want := tr.now().since(before), (counts{registry: 2, forge: 3, packages: 1, writes: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if passed != 7 {
		t.Errorf("%d of 7 requests were passed on", passed)
	}
}
