package main

import (
	"strings"
	"testing"

	"rebuilder/internal/api"
)

func TestAPlanWithoutStepsSaysWhetherThatIsTheWholeTruth(t *testing.T) {
	for want, pl := range map[string]api.Plan{
		"Nothing to do.":      {},
		"Nothing to do now":   {NotDone: []api.NotDone{{Image: "base/nginx"}}},
		"as far as is known:": {NotDone: []api.NotDone{{Image: "shop", Unknown: true}}, Unknown: 1},
	} {
		if got := nothingToDo(pl); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
