package coexist

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

var dependabotFiles = []string{".github/dependabot.yml", ".github/dependabot.yaml"}

// dependabot is one configuration of Dependabot.
type dependabot struct {
	file    string
	problem string // why it cannot be read
	Updates []dependabotUpdate
}

type dependabotUpdate struct {
	Ecosystem    string   `yaml:"package-ecosystem"`
	Directory    string   `yaml:"directory"`
	Directories  []string `yaml:"directories"`
	TargetBranch string   `yaml:"target-branch"`
	Limit        *int     `yaml:"open-pull-requests-limit"`
	Exclude      []string `yaml:"exclude-paths"`
	Ignore       []struct {
		Name     string   `yaml:"dependency-name"`
		Versions any      `yaml:"versions"`
		Types    []string `yaml:"update-types"`
	} `yaml:"ignore"`
	Allow []struct {
		Name string `yaml:"dependency-name"`
		Type string `yaml:"dependency-type"`
	} `yaml:"allow"`
}

func readDependabot(files map[string][]byte) *dependabot {
	for _, name := range dependabotFiles {
		src, ok := files[name]
		if !ok {
			continue
		}
		d := &dependabot{file: name, problem: tooLarge(src)}
		if d.problem == "" {
			var doc struct{ Updates []dependabotUpdate }
			if err := yaml.Unmarshal(src, &doc); err != nil {
				d.problem = "it cannot be read: " + err.Error()
			}
			d.Updates = doc.Updates
		}
		return d
	}
	return nil
}

func (d *dependabot) ask(l Line) Answer {
	a := Answer{Bot: Dependabot, Where: d.file, Says: Leaves, Why: "it has no entry for docker in " + strings.TrimSuffix("/"+dir(l.File), "/.")}
	if d.problem != "" {
		a.Says, a.Why = Unknown, d.problem
	}
	for _, u := range d.Updates {
		if u.Ecosystem != "docker" || u.TargetBranch != "" && l.Branch != "" && u.TargetBranch != l.Branch || !u.covers(l.File) {
			continue
		}
		if a.Why = u.leaves(l); a.Why == "" {
			a.Says, a.Why = Keeps, "its entry for docker covers the file"
			break
		}
	}
	if a.Says != Leaves {
		a.At = "ignore of its entry for docker"
		a.Leave = "- dependency-name: " + quote(withoutRegistry(l.Image))
	}
	return a
}

func dir(file string) string { return path.Dir(path.Clean("/" + file))[1:] }

// covers says that an entry reads a file: Dependabot takes what has dockerfile or containerfile in its name, in the
// directories that the entry names and not below.
func (u dependabotUpdate) covers(file string) bool {
	name := strings.ToLower(path.Base(file))
	if !strings.Contains(name, "dockerfile") && !strings.Contains(name, "containerfile") {
		return false
	}
	for _, d := range append(u.Directories, u.Directory) {
		want := strings.Trim(path.Clean("/"+d), "/")
		if d != "" && (want == dir(file) || glob(want, dir(file)) == yes) {
			return true
		}
	}
	return false
}

// leaves says what keeps an entry from a line that it covers; empty when nothing does.
func (u dependabotUpdate) leaves(l Line) string {
	if u.Limit != nil && *u.Limit == 0 {
		return "open-pull-requests-limit is 0"
	}
	for _, p := range u.Exclude {
		if glob(strings.TrimPrefix(p, "/"), l.File) == yes {
			return "exclude-paths has " + p
		}
	}
	name := withoutRegistry(l.Image)
	for _, i := range u.Ignore {
		if i.Versions == nil && len(i.Types) == 0 && (wildcard(i.Name, name) || wildcard(i.Name, l.Image)) {
			return "ignore has " + i.Name
		}
	}
	for _, a := range u.Allow {
		if a.Name == "" || wildcard(a.Name, name) || wildcard(a.Name, l.Image) {
			return ""
		}
	}
	if len(u.Allow) > 0 {
		return "allow does not have it"
	}
	return ""
}

// wildcard matches as Dependabot does: a * is anything.
func wildcard(pattern, s string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	s = strings.ToLower(s)
	if len(parts) == 1 {
		return pattern != "" && parts[0] == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, last)
}

// withoutRegistry is the name by which Dependabot knows an image.
func withoutRegistry(image string) string {
	host, rest, ok := strings.Cut(image, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return rest
	}
	return image
}
