package catalog

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestProposalsOfAnApplicationGoFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "debian"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "debian", "Dockerfile"), []byte("FROM scratch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(filepath.Join(dir, "catalog.toml"), []byte(`
[registry]
address = "registry.example.com"
[proposals]
labels = ["base", "security"]
reviewers = ["ada"]
cool_down = "0s"
[[base]]
name = "base/debian"
context = "debian"
[[application]]
name = "web"
repository = "acme/web"
image = "registry.example.com/web:main"
[[application]]
name = "shop"
repository = "acme/shop"
image = "registry.example.com/shop:main"
[application.proposals]
reviewers = ["acme/shop"]
draft = true
one_per_repository = true
with_bots = "take-over"
pushes_per_hour = 0
never = ["base/debian"]
`), now)
	if err != nil {
		t.Fatal(err)
	}
	want := Proposals{Labels: []string{"base", "security"}, Reviewers: []string{"ada"}, PushesPerHour: 2, WithBots: Yield}
	if got := c.Applications[0].Proposals; !reflect.DeepEqual(got, want) {
		t.Errorf("web: %+v", got)
	}
	want = Proposals{Labels: []string{"base", "security"}, Reviewers: []string{"acme/shop"}, Draft: true, OnePerRepository: true, WithBots: TakeOver, Never: []string{"base/debian"}}
	if got := c.Applications[1].Proposals; !reflect.DeepEqual(got, want) {
		t.Errorf("shop: %+v", got)
	}
	if c.Proposals.CoolDown != 0 || usualCoolDown != 168*time.Hour {
		t.Errorf("cool-down %s", c.Proposals.CoolDown)
	}
}
