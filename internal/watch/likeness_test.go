package watch

import (
	"reflect"
	"testing"

	"rebuilder/internal/inventory"
)

// Who adds a field to packages decides here whether package managers look at it when they choose.
func TestLikenessHasAllThatMatters(t *testing.T) {
	indifferent := map[string]bool{"SourceVersion": true, "Layer": true, "Path": true, "Owner": true} // the last two are libraries'
	p, l := reflect.TypeFor[inventory.Package](), reflect.TypeFor[likeness]()
	if p.NumField() != l.NumField()+len(indifferent) {
		t.Errorf("a package has %d fields, %d of them of no matter; likeness has %d", p.NumField(), len(indifferent), l.NumField())
	}
	for name := range indifferent {
		if _, ok := p.FieldByName(name); !ok {
			t.Errorf("packages have no field %s any more", name)
		}
	}
}
