package inventory

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pault.ag/go/debian/control"
)

func TestStanzas(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, c := range map[string]struct{ in, want, err string }{
		"what is asked for is passed":     {in: "Package: a\nDepends: b,\n c\nversion : 1\n", want: "Package: a\nversion : 1\n"},
		"several lines":                   {in: "Package:\n a\n\tb\n\nOther: x\n", want: "Package:\n a\n\tb\n\nOther:\n"},
		"other fields are one":            {in: "A: 1\nB: 2\n\nC: 3\n more\n\n", want: "Other:\n\nOther:\n\n"},
		"an end without a line's end":     {in: "Package: a\nVersion: 1", want: "Package: a\nVersion: 1\n"},
		"comments":                        {in: "Package: a\n# no: field\n b\n#" + long + "\nVersion: 1\n", want: "Package: a\n b\nVersion: 1\n"},
		"carriage returns":                {in: "Package: a\r\n\r\nPackage: b\r\n", want: "Package: a\r\n\r\nPackage: b\r\n"},
		"other fields of any length":      {in: "D: " + long + "\n " + long + "\nPackage: a\n", want: "Other:\nPackage: a\n"},
		"nothing":                         {},
		"a line that is no field":         {in: "Package: a\n-----BEGIN PGP SIGNED MESSAGE-----\n", err: "line 2: a field such as"},
		"a long line that is no field":    {in: long, err: "line 1: a field such as"},
		"a long line of a passed field":   {in: "Package: " + long, err: "line 1: a stanza of more than 4096 bytes"},
		"many lines of a passed field":    {in: "Package: a\n" + strings.Repeat(" b\n", 1000), err: "line 66: a stanza of more than 4096 bytes or 65 lines"},
		"a field that is there too often": {in: strings.Repeat("Package: a\n", 1000), err: "a stanza of more than 4096 bytes or 65 lines"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := io.ReadAll(iotest.OneByteReader(Stanzas(strings.NewReader(c.in), 4096, "Package", "Version")))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || string(got) != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(Stanzas(io.MultiReader(strings.NewReader("Package: a\n"), iotest.ErrReader(broken)), 4096, "Package")); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
}

// What the library reads of the fields is the same with and without the others.
func FuzzStanzas(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nDescription: x\n y\n\nPackage: b\n#c\n z\n\n\nD: 1\n")
	f.Add("Package : a\r\n\r\nversion:\n 1\n .\n 2")
	f.Fuzz(func(t *testing.T, in string) {
		all, err := control.NewParagraphReader(strings.NewReader("\n"+in), nil)
		if err != nil {
			t.Fatal(err)
		}
		some, err := control.NewParagraphReader(Stanzas(strings.NewReader("\n"+in), 1<<20, "Package", "Version"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for {
			want, wantErr := all.Next()
			got, gotErr := some.Next()
			if wantErr != nil || gotErr != nil {
				if (wantErr == nil) != (gotErr == nil) {
					t.Fatalf("%q: error %v, of all fields %v", in, gotErr, wantErr)
				}
				return
			}
			for _, field := range []string{"Package", "Version"} {
				if got.Values[field] != want.Values[field] {
					t.Errorf("%q: %s is %q, want %q", in, field, got.Values[field], want.Values[field])
				}
			}
		}
	})
}
