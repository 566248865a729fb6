package inventory

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestRebase(t *testing.T) {
	old := []entry{dir("etc"), text("etc/conf", "1"), dir("lib"), text("lib/libc", "1"), text("lib/same", "s"), dir("var/log"), text("var/log/apt", "1")}
	fresh := []entry{dir("etc"), text("etc/conf", "1"), dir("lib"), text("lib/libc", "2"), text("lib/same", "s"), text("lib/more", "m"), dir("var/log"), text("var/log/apt", "2")}
	env := func(values ...string) func(*v1.ConfigFile) { return func(c *v1.ConfigFile) { c.Config.Env = values } }
	same := env("A=1")
	for _, c := range []struct {
		name      string
		own       []entry
		old, new  func(*v1.ConfigFile)
		want      string // the error; empty: it is put on the new base
		otherBase bool
	}{
		{"files beside", []entry{dir("lib"), text("lib/app", "a"), text("app", "a"), text("etc/conf", "mine")}, same, same, "", false},
		{"a file of the base that stayed is deleted", []entry{text("lib/.wh.same", "")}, same, same, "", false},
		{"a log in both", []entry{text("var/log/apt", "app")}, same, same, "", false},
		{"the same file", []entry{text("lib/libc", "mine")}, same, same, "both the image and the new base have changed /lib/libc", false},
		{"a file that the new base brings", []entry{text("lib/more", "mine")}, same, same, "both the image and the new base have changed /lib/more", false},
		{"a deleted file", []entry{text("lib/.wh.libc", "")}, same, same, "both the image and the new base have changed /lib/libc", false},
		{"a deleted directory", []entry{text(".wh.lib", "")}, same, same, "both the image and the new base have changed /lib/libc, /lib/more", false},
		{"an emptied directory", []entry{text("lib/.wh..wh..opq", "")}, same, same, "both the image and the new base have changed /lib/libc, /lib/more", false},
		{"a file in place of a directory", []entry{text("lib", "file")}, same, same, "both the image and the new base have changed /lib/libc, /lib/more", false},
		{"a link through which files came", []entry{symlink("usr", "lib"), text("usr/libc", "mine")}, same, same, "both the image and the new base have changed /lib/libc", false},
		{"another environment", []entry{text("app", "a")}, same, env("A=2"), "the new base has another Env than the old one: the image has the old one's", false},
		{"no environment, said in two ways", []entry{text("app", "a")}, env(), func(*v1.ConfigFile) {}, "", false},
		{"it stands on another base", []entry{text("app", "a")}, same, same, "is not based on", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := configured(t, image(t, old), c.old), configured(t, image(t, fresh), c.new)
			img := configured(t, on(t, before, layerOf(t, tarOf(t, c.own...))), func(f *v1.ConfigFile) { f.Config.Cmd = []string{"/app"} })
			if c.otherBase {
				before = image(t, []entry{text("x", "")})
				before = configured(t, before, c.old)
			}
			got, err := Rebase(t.Context(), img, before, after, "linux/amd64")
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			is, above := mustRead(t, got), mustRead(t, after)
			if !is.StandsOn(above) || len(is.DiffIDs) != len(above.DiffIDs)+1 || is.Config.Cmd[0] != "/app" {
				t.Errorf("%+v", is)
			}
		})
	}
}
