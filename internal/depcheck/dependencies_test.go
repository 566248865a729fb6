package depcheck

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each direct dependency has its line in docs/dependencies.md, and no line is about one that is gone.
func TestEveryDirectDependencyIsExplained(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json", "../../go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], ".") {
			continue
		}
		for module := range strings.SplitSeq(cells[1], ",") {
			explained[strings.TrimSpace(module)] = true
		}
	}
	for _, r := range mod.Require {
		if !r.Indirect && !explained[r.Path] {
			t.Errorf("docs/dependencies.md does not say why %s is there", r.Path)
		}
		if !r.Indirect {
			delete(explained, r.Path)
		}
	}
	for module := range explained {
		t.Errorf("docs/dependencies.md explains %s, which go.mod does not require directly", module)
	}
}
