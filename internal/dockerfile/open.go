package dockerfile

import (
	"maps"

	distribution "github.com/distribution/reference"
)

// standIn is the value of build arguments that are not known, where a file says none itself. It may stand in any part of a
// reference but a digest.
const standIn = "not-known"

// UsesOpen is Uses for a file that is built by somebody else, with build arguments that are not all known here. Where the
// ARGs before the first FROM that have no value leave a reference that BuildKit refuses, it is asked with values that stand
// in for them: what the target reaches is exact as long as none of them chooses a stage. The references themselves are as
// without, with an empty Name where their variables leave what is none.
func (f *File) UsesOpen(target string) ([]Used, error) {
	used, refused := f.Uses(target)
	if refused == nil {
		return used, nil
	}
	args := maps.Clone(f.args)
	if args == nil {
		args = map[string]string{}
	}
	for s := f.global; s != nil; s = s.before {
		if f.global.lookup(s.key) == nil {
			args[s.key] = standIn
		}
	}
	own, err := f.found(target)
	if err != nil || len(args) == len(f.args) {
		return nil, refused
	}
	filled, err := Parse(f.Path, f.src, args)
	if err != nil {
		return nil, refused
	}
	if used, err = filled.Uses(target); err != nil || !inPlace(own, used) {
		return nil, refused
	}
	for i := range own {
		own[i].Use = used[i].Use
		if _, err := distribution.ParseNormalizedNamed(own[i].Name); err != nil {
			own[i].Name = ""
		}
	}
	return own, nil
}

// inPlace says that the same references stand at the same places, whatever their names.
func inPlace(a, b []Used) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Role != b[i].Role || a[i].Line != b[i].Line || a[i].Raw != b[i].Raw {
			return false
		}
	}
	return true
}
