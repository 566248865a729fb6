package github_test

import (
	"strings"
	"testing"
)

// A pull request that changes one file takes three writes, any other four; labels are one more. The mode of a script stays.
func TestFewestWrites(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		labels []string
		writes int
	}{
		{"one file", map[string]string{"Dockerfile": dockerNew}, nil, 3},
		{"one file below, with a space in its name", map[string]string{"deploy/a b/Dockerfile": "FROM new\n"}, nil, 3},
		{"one file, and one that is as wanted", map[string]string{"Dockerfile": dockerNew, "deploy/images/Dockerfile": "FROM base/debian:stable\n"}, nil, 3},
		{"one file that is no text", map[string]string{"Dockerfile": "FROM \xff\x00\n"}, nil, 3},
		{"two files", map[string]string{"Dockerfile": dockerNew, "deploy/images/Dockerfile": "FROM new\n"}, nil, 4},
		{"a script", map[string]string{"deploy/images/entry.sh": "#!/bin/bash\n"}, nil, 4},
		{"one file, labelled", map[string]string{"Dockerfile": dockerNew}, []string{"base-image"}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t)
			p := w.proposal()
			p.Labels, p.Files = c.labels, map[string][]byte{}
			for path, content := range c.files {
				p.Files[path] = []byte(content)
			}
			pr := w.propose(p, c.writes)
			for path, content := range c.files {
				if got := w.git("cat-file", "blob", pr.Head+":"+path); got != content {
					t.Errorf("%s is %q", path, got)
				}
			}
			if mode := strings.Fields(w.git("ls-tree", pr.Head, "deploy/images/entry.sh"))[0]; mode != "100755" {
				t.Errorf("mode %s", mode)
			}
			if got := w.git("rev-list", "--count", "main.."+pr.Head); got != "1\n" {
				t.Errorf("%s commits, want one", got)
			}
			if who := w.git("log", "-1", "--format=%an", pr.Head); !strings.HasPrefix(who, "rebuilder-bot") {
				t.Errorf("committed by %s", who)
			}
			w.propose(p, 0)
		})
	}
}

// A kill between the branch and its commit leaves a branch that has none of its own, which is no stranger's.
func TestBareBranchIsUsed(t *testing.T) {
	for _, moved := range []bool{false, true} {
		w := start(t)
		p := w.proposal()
		w.wire.fail(fault{on: "PUT .*/contents/", always: true})
		if _, err := w.client.Propose(t.Context(), p); err == nil {
			t.Fatal("no error although the connection was cut")
		}
		w.wire.healed(t)
		want := 2
		if moved {
			p.Base, want = w.personCommits("main", "README", "hello\n"), 4
		}
		w.onePullRequest(p, w.propose(p, want))
	}
}
