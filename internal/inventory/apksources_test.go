package inventory

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// showAPK is repositories without their keys, in one line.
func showAPK(all []Repository) string {
	var s []string
	for _, r := range all {
		uri := r.URI
		if r.ID != "" {
			uri = "@" + r.ID + " " + uri
		}
		s = append(s, fmt.Sprintf("%s %s %v", r.Where, uri, r.Architectures))
	}
	return strings.Join(s, "; ")
}

func showPins(pins []Pin) string {
	var s []string
	for _, p := range pins {
		s = append(s, strings.Join(p.Packages, ",")+" "+p.Rule)
	}
	return strings.Join(s, "; ")
}

func TestAPKRepositories(t *testing.T) {
	const file = "etc/apk/repositories"
	for _, c := range []struct {
		name  string
		files []entry
		want  string // Where's without the file
	}{
		{"as Alpine has it", []entry{text(file, "https://h/alpine/v3.20/main\nhttps://h/alpine/v3.20/community/\n")},
			":1 https://h/alpine/v3.20/main [x86_64]; :2 https://h/alpine/v3.20/community [x86_64]"},
		{"comments, tags and blanks", []entry{text(file, "# http://no/\n\n  http://h/a  \n@edge\thttp://h/edge\n#@x http://no/\n")},
			":3 http://h/a [x86_64]; :4 @edge http://h/edge [x86_64]"},
		{"paths of the image", []entry{text(file, "/var/packages\n./packages\nfile:///packages\n@local /packages\nhttp://h/a\nv3 /x main\n")}, ":5 http://h/a [x86_64]"},
		{"components", []entry{text(file, "v2 http://h/a main community\nhttp://h/b main\n")},
			":1 http://h/a/main [x86_64]; :1 http://h/a/community [x86_64]; :2 http://h/b/main [x86_64]"},
		{"indexes", []entry{text(file, "ndx http://h/any\nhttp://h/APKINDEX.tar.gz\n@t http://h/x.adb\nv2 http://h/odd.tar.gz\n")},
			":1 http://h/any [x86_64]; :2 http://h/APKINDEX.tar.gz [x86_64]; :3 @t http://h/x.adb [x86_64]; :4 http://h/odd.tar.gz/x86_64/APKINDEX.tar.gz [x86_64]"},
		{"the newer format is told by its index", []entry{text(file, "v3 @t http://h/a main\nv3 http://h/b\n")},
			":1 @t http://h/a/main/x86_64/Packages.adb [x86_64]; :2 http://h/b/x86_64/Packages.adb [x86_64]"},
		{"variables", []entry{text(file, "set host=http://h/${APK_ARCH}\nset -default host=http://other\nset -default x1=main\n${host}/a ${x1}\n")}, ":4 http://h/x86_64/a/main [x86_64]"},
		{"other schemes are said by the watcher", []entry{text(file, "ftp://h/a\n")}, ":1 ftp://h/a [x86_64]"},
		{"the image's own architecture", []entry{text(file, "http://h/a\n"), text("etc/apk/arch", "x86\nx86_64\n")}, ":1 http://h/a [x86 x86_64]"},
		{"none", []entry{text(file, "\n")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.ReplaceAll(showAPK(mustRead(t, image(t, c.files)).Repositories), "/"+file, "")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAPKRepositoriesOfSeveralFiles(t *testing.T) {
	inv := mustRead(t, image(t, []entry{
		text("etc/apk/repositories", "http://h/1\n"),
		text("etc/apk/repositories.d/b.list", "http://h/b\nset v=http://h/v\n"),
		text("etc/apk/repositories.d/.hidden.list", "nonsense"),
		text("etc/apk/repositories.d/README", "nonsense"),
		symlink("lib", "usr/lib"),
		text("usr/lib/apk/repositories.d/a.list", "http://h/a\n"),
		text("usr/lib/apk/repositories.d/b.list", "nonsense, and hidden by the one in /etc"),
		text("usr/lib/apk/repositories.d/c.list", "${v}\n"),
		text("etc/apt/sources.list", "deb http://d/x y z\n"),
	}))
	want := " http://d/x [amd64]; :1 http://h/1 [x86_64]; .d/a.list:1 http://h/a [x86_64]; .d/b.list:1 http://h/b [x86_64]; .d/c.list:1 http://h/v [x86_64]"
	got := showAPK(inv.Repositories)
	for _, prefix := range []string{"/etc/apk/repositories", "/lib/apk/repositories", "/etc/apt/sources.list"} {
		got = strings.ReplaceAll(got, prefix, "")
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAPKRepositoryErrors(t *testing.T) {
	doubling := "set a=xxxxxxxxxxxxxxxx\n" + strings.Repeat("set a=${a}${a}\n", 40)
	for _, c := range []struct{ name, text, want string }{
		{"no address", "http://h/a\nmain community\n", `/etc/apk/repositories:2: "main" is neither an address`},
		{"only a tag", "@edge\n", "the address of a repository expected"},
		{"a tag without a name", "@ http://h/a\n", "a tag without a name"},
		{"only a type", "v2\n", "the address of a repository expected"},
		{"an index with components", "ndx http://h/x main\n", `"http://h/x" is the address of an index`},
		{"unknown variable", "${nope}/a\n", `"${nope}/a" is no variable that is set`},
		{"open variable", "http://h/${APK_ARCH\n", "is no variable that is set"},
		{"reserved variable", "set APK_ARCH=x\n", `"set [-default] key=value" expected`},
		{"variable without a value", "set x\n", `"set [-default] key=value" expected`},
		{"strange variable", "set 1x=y\n", `"set [-default] key=value" expected`},
		{"variables that grow", doubling, "an address of more than 4096 bytes"},
		{"too many", strings.Repeat("http://h/a\n", 65), ":65: more than 64 package repositories"},
		{"too many components", "http://h/a" + strings.Repeat(" x", 65), ":1: more than 64 package repositories"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(t.Context(), image(t, []entry{text("etc/apk/repositories", c.text)}), "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAPKKeys(t *testing.T) {
	key := func(name string) string {
		return "-----BEGIN PUBLIC KEY-----\n" + name + "\n-----END PUBLIC KEY-----\n"
	}
	for _, c := range []struct {
		name  string
		files []entry
		want  string // names, and what the keys say
	}{
		{"apk's", []entry{text("etc/apk/keys/b.rsa.pub", key("b")), text("etc/apk/keys/a.rsa.pub", key("a"))}, "a.rsa.pub=a b.rsa.pub=b"},
		{"the distribution's beside them", []entry{text("etc/apk/keys/a.rsa.pub", key("a")), text("lib/apk/keys/a.rsa.pub", key("other")), text("lib/apk/keys/c.rsa.pub", key("c"))},
			"a.rsa.pub=a c.rsa.pub=c"},
		{"through a link", []entry{text("usr/share/apk/keys/a.rsa.pub", key("a")), symlink("etc/apk/keys/a.rsa.pub", "/usr/share/apk/keys/a.rsa.pub")}, "a.rsa.pub=a"},
		{"only shipped, for all architectures", []entry{text("usr/share/apk/keys/a.rsa.pub", key("a")), symlink("usr/share/apk/keys/x86_64/a.rsa.pub", "../a.rsa.pub")}, "a.rsa.pub=a"},
		{"shipped ones do not count beside apk's", []entry{text("usr/share/apk/keys/b.rsa.pub", key("b")), text("etc/apk/keys/a.rsa.pub", key("a"))}, "a.rsa.pub=a"},
		{"what is no key", []entry{text("etc/apk/keys/a.rsa.pub", "nonsense"), text("etc/apk/keys/.b.rsa.pub", key("b")), text("etc/apk/keys/c.rsa.pub", key(strings.Repeat("c", 1<<15))),
			dir("etc/apk/keys/d.rsa.pub"), text("etc/apk/keys/e.rsa.pub", strings.Repeat("e", maxFile+1))}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			inv := mustRead(t, image(t, append(c.files, text("etc/apk/repositories", "http://h/a\n"))))
			r := inv.Repositories[0]
			if len(r.Keys) != len(r.KeyNames) {
				t.Fatalf("%d keys, %d names", len(r.Keys), len(r.KeyNames))
			}
			var got []string
			for i, name := range r.KeyNames {
				got = append(got, name+"="+strings.Split(string(r.Keys[i]), "\n")[1])
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAPKWorld(t *testing.T) {
	inv := mustRead(t, image(t, []entry{
		text("etc/apk/world", "plain\nexact=1.0-r0 below<2\n\nabove>1\nnear~1.2\nnear2=~1.2\nat-least>=3\ntagged@edge\nboth@edge<4\napko=1.0@local\n!gone\n!old<3\nbuild><Q1abc=\n"),
		text("lib/apk/db/installed", apkText("exact", "1.0-r0")+apkText("below", "1-r0")+apkText("build", "1-r0")+apkText("apko", "1.0")+apkText("near", "1.2")),
		text("var/lib/dpkg/status", stanzaOf("exact", "1")), // of another family
	}))
	want := "exact =1.0-r0; below <2; above >1; near ~1.2; near2 =~1.2; at-least >=3; tagged @edge; both @edge; both <4; apko @local; apko =1.0; gone !; old !<3; build ><Q1abc="
	if got := showPins(inv.Pins); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := inv.Pins[1].Where, "/etc/apk/world:2"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var held []string
	for _, p := range inv.Packages {
		if p.Held {
			held = append(held, p.Type+" "+p.Name)
		}
	}
	if got, want := strings.Join(held, ", "), "apk apko, apk build, apk exact"; got != want {
		t.Errorf("held %s, want %s", got, want)
	}
}

// apk remembers the tag of what a tagged package brought in.
func TestAPKTagsOfInstalledPackages(t *testing.T) {
	tagged := func(name, tag string) string {
		return strings.TrimSuffix(apkText(name, "1-r0"), "\n") + "s:" + tag + "\n\n"
	}
	inv := mustRead(t, image(t, []entry{
		text("etc/apk/world", "a@edge\n"),
		text("lib/apk/db/installed", tagged("a", "testing")+tagged("b", "edge")+apkText("c", "1-r0")+tagged("d", "testing")+apkText("e", "1-r0")),
	}))
	if got, want := showPins(inv.Pins), "a @edge; b @edge; d @testing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAPKWorldErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a\nb=\n", `/etc/apk/world:2: "b=": a package expected`},
		{"=1\n", "a package expected"},
		{"!\n", "a package expected"},
		{"a@\n", "a package expected"},
		{"@edge\n", "a package expected"},
		{"a>1<2\n", "a package expected"},
		{"a>1@<\n", "a package expected"},
		{strings.Repeat("a=1\n", maxAPKPins+1), "more than 10000 constraints"},
	} {
		_, err := Read(t.Context(), image(t, []entry{text("etc/apk/world", c.text)}), "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: got %v, want %s", c.text, err, c.want)
		}
	}
}

// Whatever a file holds, parsing ends without a panic, and what it returns is complete and bounded.
func FuzzAPKSources(f *testing.F) {
	f.Add("@edge http://h/a main\n# c\nset -default x=${APK_ARCH}\nv3 ${x}://h b\nndx http://h/x.adb\n")
	f.Add("set a=b\nset a=${a}${a}\n${a}")
	f.Add("@ \nv2")
	f.Fuzz(func(t *testing.T, text string) {
		s := apkSources{arch: "x86_64", variables: map[string]string{"APK_ARCH": "x86_64"}}
		if err := s.read("f", []byte(text)); err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("the error does not name the line: %v", err)
		}
		for _, r := range s.found {
			if r.Type != APK || !strings.Contains(r.URI, "://") || strings.HasPrefix(r.URI, "file:") || !strings.HasPrefix(r.Where, "f:") || len(r.URI) > 3*maxPath {
				t.Errorf("%+v", r)
			}
		}
	})
}

// An entry of the world means the same when it is put together again from what was read.
func FuzzAPKConstraint(f *testing.F) {
	for _, entry := range []string{"a", "a=1", "!a<2", "a@t>=1", "a=1@t", "a><Q1=", "!a", "@", "a~"} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		name, rules, err := apkConstraint(entry)
		if err != nil {
			return
		}
		again, not := name, ""
		for _, r := range rules {
			constraint, is := strings.CutPrefix(r, "!")
			if is {
				not = "!"
			}
			again += constraint
		}
		if name2, rules2, err := apkConstraint(not + again); err != nil || name2 != name || !slices.Equal(rules2, rules) {
			t.Errorf("%q is %q %q, and that is %q %q, %v", entry, name, rules, name2, rules2, err)
		}
	})
}
