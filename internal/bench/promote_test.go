package main

import "testing"

// The counts do not depend on the machine, so they are held to their goals here, too.
func TestPromotionsKeepTheirGoals(t *testing.T) {
	all, err := measurePromote(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		t.Logf("%s: %v %s (goal %s)", m.Name, m.Value, m.Unit, m.Goal)
		if !m.Holds {
			t.Errorf("%s is %v %s, the goal is %s", m.Name, m.Value, m.Unit, m.Goal)
		}
	}
}
