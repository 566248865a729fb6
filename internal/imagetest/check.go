package imagetest

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxExcerpt bounds how much of an image's text a problem repeats.
const maxExcerpt = 300

// Problems says what is wrong with a command that has exited.
func (c Command) Problems(exitCode int, stdout, stderr string) (out []string) {
	if exitCode != c.ExitCode {
		out = append(out, fmt.Sprintf("it exited with %d, not with %d", exitCode, c.ExitCode))
	}
	out = append(out, matches("standard output", stdout, c.ExpectedOutput, c.ExcludedOutput)...)
	return append(out, matches("standard error", stderr, c.ExpectedError, c.ExcludedError)...)
}

// Problems says what is wrong with a file's content.
func (f FileContent) Problems(content string) []string {
	return matches(f.Path, content, f.Expected, f.Excluded)
}

// Problems says what is wrong with what a port has answered.
func (p Port) Problems(answer string) []string {
	return matches("the answer", answer, p.ExpectedOutput, nil)
}

func matches(what, text string, expected, excluded []*regexp.Regexp) (out []string) {
	for _, re := range expected {
		if !re.MatchString(text) {
			out = append(out, fmt.Sprintf("%s has no match of %q: %s", what, re, excerpt(text)))
		}
	}
	for _, re := range excluded {
		if at := re.FindStringIndex(text); at != nil {
			out = append(out, fmt.Sprintf("%s has a match of %q: %s", what, re, excerpt(text[at[0]:at[1]])))
		}
	}
	return out
}

// excerpt is the beginning of text, quoted: it comes out of an image.
func excerpt(text string) string {
	if len(text) > maxExcerpt {
		return strconv.Quote(text[:maxExcerpt]) + " and so on"
	}
	return strconv.Quote(text)
}

// Stat is what is known of a file without reading it.
type Stat struct {
	Mode     fs.FileMode
	UID, GID int
}

// Problems says what is wrong with a file; nil is one that is not there.
func (f FileExistence) Problems(st *Stat) (out []string) {
	switch {
	case st == nil && f.ShouldExist:
		return []string{f.Path + " is not there"}
	case st == nil:
		return nil
	case !f.ShouldExist:
		return []string{f.Path + " is there"}
	}
	if mode := st.Mode.String(); f.Permissions != "" && mode != f.Permissions {
		out = append(out, fmt.Sprintf("%s has the permissions %s, not %s", f.Path, mode, f.Permissions))
	}
	if f.UID >= 0 && f.UID != st.UID {
		out = append(out, fmt.Sprintf("%s belongs to user %d, not %d", f.Path, st.UID, f.UID))
	}
	if f.GID >= 0 && f.GID != st.GID {
		out = append(out, fmt.Sprintf("%s belongs to group %d, not %d", f.Path, st.GID, f.GID))
	}
	if bits, ok := executable[f.ExecutableBy]; ok && st.Mode&bits == 0 {
		out = append(out, fmt.Sprintf("%s is not executable by %s: %s", f.Path, f.ExecutableBy, st.Mode))
	}
	return out
}

var executable = map[string]fs.FileMode{"owner": 0o100, "group": 0o010, "other": 0o001, "any": 0o111}

// Problems says what is wrong with an image's configuration.
func (m Metadata) Problems(c ocispecs.ImageConfig) (out []string) {
	env := environment(c.Env)
	out = append(out, pairs("environment variable", m.Env, env)...)
	for _, k := range m.UnboundEnv {
		if _, ok := env[k]; ok {
			out = append(out, fmt.Sprintf("environment variable %s is set", k))
		}
	}
	out = append(out, pairs("label", m.Labels, c.Labels)...)
	out = append(out, sameList("entrypoint", m.Entrypoint, c.Entrypoint)...)
	out = append(out, sameList("cmd", m.Cmd, c.Cmd)...)
	out = append(out, same("workdir", m.WorkingDir, c.WorkingDir)...)
	out = append(out, same("user", m.User, c.User)...)
	out = append(out, listed("port", m.ExposedPorts, m.UnexposedPorts, ports(c.ExposedPorts))...)
	return append(out, listed("volume", m.Volumes, m.UnmountedVolumes, c.Volumes)...)
}

func pairs(what string, want []Variable, have map[string]string) (out []string) {
	for _, w := range want {
		switch v, ok := have[w.Key]; {
		case !ok:
			out = append(out, fmt.Sprintf("%s %s is not set", what, w.Key))
		case w.Pattern != nil && !w.Pattern.MatchString(v):
			out = append(out, fmt.Sprintf("%s %s has no match of %q: %s", what, w.Key, w.Pattern, excerpt(v)))
		case w.Pattern == nil && w.Value != v:
			out = append(out, fmt.Sprintf("%s %s is %s, not %s", what, w.Key, excerpt(v), excerpt(w.Value)))
		}
	}
	return out
}

func sameList(what string, want *[]string, have []string) []string {
	if want == nil || slices.Equal(*want, have) {
		return nil
	}
	return []string{fmt.Sprintf("%s is %s, not %s", what, words(have), words(*want))}
}

func words(list []string) string {
	quoted := make([]string, len(list))
	for i, w := range list {
		quoted[i] = excerpt(w)
	}
	return "[" + strings.Join(quoted, " ") + "]"
}

func same(what, want, have string) []string {
	if want == "" || want == have {
		return nil
	}
	return []string{fmt.Sprintf("%s is %s, not %s", what, excerpt(have), excerpt(want))}
}

func listed(what string, want, unwanted []string, have map[string]struct{}) (out []string) {
	for _, w := range want {
		if _, ok := have[w]; !ok {
			out = append(out, fmt.Sprintf("%s %s is not declared", what, w))
		}
	}
	for _, u := range unwanted {
		if _, ok := have[u]; ok {
			out = append(out, fmt.Sprintf("%s %s is declared", what, u))
		}
	}
	return out
}

// ports are the image's ports as they may be written in a test: "8080" and "8080/tcp".
func ports(declared map[string]struct{}) map[string]struct{} {
	out := map[string]struct{}{}
	for p := range declared {
		number, _, _ := strings.Cut(p, "/")
		out[p], out[number] = struct{}{}, struct{}{}
	}
	return out
}

// Forbids says which licence in text container-structure-test forbids; empty: none.
func (License) Forbids(text string) string {
	upper := strings.ToUpper(text)
	for _, l := range []string{"AGPL", "WTFPL"} {
		if strings.Contains(upper, l) {
			return l
		}
	}
	return ""
}

// Environment is base, "NAME=value" each, with variables set over it. With expand, $NAME in a value is first replaced
// by what base has for it.
func Environment(base []string, variables []Variable, expand bool) []string {
	out := slices.Clone(base)
	for _, v := range variables {
		value := v.Value
		if expand {
			value = Expand(value, base)
		}
		out = slices.DeleteFunc(out, func(e string) bool { return strings.HasPrefix(e, v.Key+"=") })
		out = append(out, v.Key+"="+value)
	}
	return out
}

// Expand replaces $NAME and ${NAME} in text by what env has for it, or by nothing.
func Expand(text string, env []string) string {
	all := environment(env)
	return os.Expand(text, func(name string) string { return all[name] })
}

func environment(env []string) map[string]string {
	out := make(map[string]string, len(env))
	for _, e := range env {
		k, v, _ := strings.Cut(e, "=")
		out[k] = v
	}
	return out
}
