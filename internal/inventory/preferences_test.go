package inventory

import (
	"fmt"
	"strings"
	"testing"
)

func TestPreferences(t *testing.T) {
	inv := mustRead(t, image(t, []entry{
		text("etc/apt/preferences", "# written by hand\nExplanation: kept\nPackage: libssl* openssl\nPin: version 3.0.*\nPin-Priority: 1001\n\n# nothing here\n\n\nPackage: *\nPin: release a=stable, o=Debian\nPin-Priority: -1\n"),
		text("etc/apt/preferences.d/10-origin", "Package: nginx\n# why not\nPin: origin \"packages.example.com\"\nPin-Priority: 700"),
		text("etc/apt/preferences.d/20.pref", "package: src:curl\npin: release n=bookworm\npin-priority: 1\n"),
		text("etc/apt/preferences.d/30.bak", "Package: no\nPin: version 1\nPin-Priority: 1\n"),
	}))
	var got []string
	for _, p := range inv.Pins {
		got = append(got, fmt.Sprintf("%s: %s: %s %s %d", p.Where, p.Type, strings.Join(p.Packages, " "), p.Rule, p.Priority))
	}
	want := `/etc/apt/preferences: deb: libssl* openssl version 3.0.* 1001
/etc/apt/preferences: deb: * release a=stable, o=Debian -1
/etc/apt/preferences.d/10-origin: deb: nginx origin "packages.example.com" 700
/etc/apt/preferences.d/20.pref: deb: src:curl release n=bookworm 1`
	if got := strings.Join(got, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBadPreferences(t *testing.T) {
	for text, want := range map[string]string{
		"Package: a\nPin: version 1\n\n":                                                      "stanza 1: Package, Pin and a number as Pin-Priority expected",
		"Package: a\nPin: version 1\nPin-Priority: high\n":                                    "stanza 1: Package, Pin and a number as Pin-Priority expected",
		"Pin: version 1\nPin-Priority: 5\n":                                                   "stanza 1: Package, Pin and a number as Pin-Priority expected",
		"Package: " + strings.Repeat("a\n ", 100_000) + "\nPin: version 1\nPin-Priority: 5\n": "stanza 1: line 4098: a stanza of more than",
		"Package: b\nPin: version 1\nPin-Priority: 5\n\nPackage: a\nPin-Priority: 5\n":        "stanza 2: Package, Pin and a number as Pin-Priority expected",
	} {
		if _, err := parsePreferences("/etc/apt/preferences", []byte(text)); err == nil || !strings.Contains(err.Error(), "/etc/apt/preferences: "+want) {
			t.Errorf("%.100q: %v, want %s", text, err, want)
		}
	}
}

func FuzzPreferences(f *testing.F) {
	f.Add([]byte("Package: a\nPin: version 1\nPin-Priority: 5\n"))
	f.Add([]byte("#\n\nPackage:\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		pins, err := parsePreferences("/x", data)
		for _, p := range pins {
			if err != nil || len(p.Packages) == 0 || p.Rule == "" {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}
