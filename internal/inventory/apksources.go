package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

const (
	apkRepositoriesFile = "/etc/apk/repositories"
	apkArchFile         = "/etc/apk/arch"
	apkSharedKeys       = "/usr/share/apk/keys"

	maxAPKSources = 64       // repositories of one image; apk itself takes 32
	maxAPKKeys    = 100      // of one image
	maxAPKKey     = 16 << 10 // bytes of one key
)

// apkRepositories reads the image's apk repositories as apk does: /etc/apk/repositories, and then the *.list files of
// repositories.d. Those on paths of the image itself are left out.
//
// The URI is the address below which the architectures lie. Where the image names the index itself, or asks for one of
// apk's newer format, it is the index's: such an address ends in ".tar.gz" or ".adb".
func apkRepositories(t *tree, platform string) ([]Repository, error) {
	arches := apkArchitectures(t, platform)
	s := apkSources{arch: arches[0], variables: map[string]string{"APK_ARCH": arches[0]}}
	for _, file := range apkSourceFiles(t) {
		if err := s.read(file, t.content(file)); err != nil {
			return nil, err
		}
	}
	keys, names := apkKeys(t, arches[0])
	for i := range s.found {
		s.found[i].Architectures, s.found[i].Keys, s.found[i].KeyNames = arches, keys, names
	}
	return s.found, nil
}

// apkArchitectures returns the one that indexes are of first. An image may name its own, and further ones.
func apkArchitectures(t *tree, platform string) []string {
	arches := strings.Fields(string(t.content(apkArchFile)))
	if len(arches) == 0 {
		return []string{APKArchitecture(platform)}
	}
	return arches[:min(len(arches), 10)]
}

// apkConfigDirs are the places of a directory of configuration. Of two files of a name the first counts.
func apkConfigDirs(name string) []string {
	return []string{"/etc/apk/" + name, "/lib/apk/" + name, "/usr/lib/apk/" + name}
}

// apkConfigFiles lists the files in all places of a directory, in the order of their names.
func apkConfigFiles(t *tree, dirs []string, want func(name string) bool) []string {
	at := map[string]string{}
	for _, dir := range dirs {
		for _, name := range t.names(dir) {
			if at[name] == "" && want(name) && !strings.HasPrefix(name, ".") {
				at[name] = path.Join(dir, name)
			}
		}
	}
	var files []string
	for _, name := range sortedKeys(at) {
		files = append(files, at[name])
	}
	return files
}

func apkSourceFiles(t *tree) []string {
	isList := func(name string) bool { return path.Ext(name) == ".list" }
	return append([]string{apkRepositoriesFile}, apkConfigFiles(t, apkConfigDirs("repositories.d"), isList)...)
}

// apkKeys returns the keys that apk trusts, with their names. Where there are none, those that the distribution ships
// for the architecture are taken.
func apkKeys(t *tree, arch string) (keys [][]byte, names []string) {
	keys, names = apkKeysIn(t, apkConfigDirs("keys")...)
	if len(keys) == 0 {
		keys, names = apkKeysIn(t, path.Join(apkSharedKeys, path.Base(arch)), apkSharedKeys)
	}
	return keys, names
}

func apkKeysIn(t *tree, dirs ...string) (keys [][]byte, names []string) {
	for _, file := range apkConfigFiles(t, dirs, func(string) bool { return true }) {
		key := t.content(file)
		if len(keys) < maxAPKKeys && len(key) <= maxAPKKey && bytes.Contains(key, []byte("-----BEGIN PUBLIC KEY-----")) {
			keys, names = append(keys, key), append(names, path.Base(file))
		}
	}
	return keys, names
}

// isAPKConfig says that a file is read from: repositories, architectures, the world.
func isAPKConfig(at string) bool {
	switch at {
	case apkRepositoriesFile, apkArchFile, apkWorldFile:
		return true
	}
	return strings.Contains(at, "/apk/repositories.d/")
}

// isAPKKey says that a file may be a key.
func isAPKKey(at string) bool { return strings.Contains(at, "/apk/keys/") }

// apkSources reads repositories files one after the other: variables hold for all that follow.
type apkSources struct {
	arch      string
	variables map[string]string
	found     []Repository
}

// read reads one file. Errors name file and line.
func (s *apkSources) read(file string, data []byte) error {
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.line(words, fmt.Sprintf("%s:%d", file, n)); err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return nil
}

// line reads "set [-default] key=value", "ndx [@tag] url" or "[v2|v3] [@tag] url [component...]".
func (s *apkSources) line(words []string, where string) error {
	kind := ""
	switch words[0] {
	case "set":
		return s.set(words[1:])
	case "ndx", "v2", "v3":
		kind, words = words[0], words[1:]
	}
	tag := ""
	if len(words) > 0 && strings.HasPrefix(words[0], "@") {
		tag, words = words[0][1:], words[1:]
		if tag == "" {
			return errors.New("a tag without a name: \"@name\" expected")
		}
	}
	if len(words) == 0 {
		return errors.New("the address of a repository expected")
	}
	uris, err := s.uris(kind, words)
	if err != nil {
		return err
	}
	for _, uri := range uris {
		if len(s.found) >= maxAPKSources {
			return fmt.Errorf("more than %d package repositories", maxAPKSources)
		}
		s.found = append(s.found, Repository{Type: APK, URI: uri, ID: tag, Where: where})
	}
	return nil
}

// uris are the addresses that a line means: one for each component, none for a path of the image.
func (s *apkSources) uris(kind string, words []string) ([]string, error) {
	for i := range words {
		var err error
		if words[i], err = s.expand(words[i]); err != nil {
			return nil, err
		}
	}
	base := strings.TrimRight(words[0], "/")
	switch scheme, _, ok := strings.Cut(base, "://"); {
	case strings.HasPrefix(words[0], "/"), strings.HasPrefix(base, "."), scheme == "file" && ok:
		return nil, nil
	case !ok:
		return nil, fmt.Errorf("%.100q is neither an address, such as \"https://host/alpine/main\", nor a path", words[0])
	}
	if kind == "ndx" || kind == "" && isAPKIndex(base) {
		if len(words) > 1 {
			return nil, fmt.Errorf("%.100q is the address of an index, and so has no components", base)
		}
		return []string{base}, nil
	}
	if len(words) == 1 {
		return []string{s.layout(kind, base)}, nil
	}
	var all []string
	for _, component := range words[1:] {
		all = append(all, s.layout(kind, base+"/"+strings.Trim(component, "/")))
	}
	return all, nil
}

// isAPKIndex says that an address is an index's and not a repository's.
func isAPKIndex(uri string) bool {
	return strings.HasSuffix(uri, ".tar.gz") || strings.HasSuffix(uri, ".adb")
}

// layout is the URI of a repository: an index's where it would otherwise not be told which.
func (s *apkSources) layout(kind, base string) string {
	switch {
	case kind == "v3":
		return base + "/" + s.arch + "/Packages.adb"
	case isAPKIndex(base):
		return base + "/" + s.arch + "/APKINDEX.tar.gz"
	}
	return base
}

// set defines a variable: "[-default] key=value".
func (s *apkSources) set(words []string) error {
	onlyDefault := len(words) > 0 && words[0] == "-default"
	if onlyDefault {
		words = words[1:]
	}
	key, value, ok := strings.Cut(strings.Join(words, " "), "=")
	if !ok || !isAPKVariable(key) {
		return errors.New("\"set [-default] key=value\" expected, the key of letters, digits and \"_\", and none of apk's own, which begin with APK_")
	}
	value, err := s.expand(value)
	if err != nil {
		return err
	}
	if _, known := s.variables[key]; known && onlyDefault {
		return nil
	}
	if s.variables[key] = value; len(s.variables) > maxAPKSources {
		return fmt.Errorf("more than %d variables", maxAPKSources)
	}
	return nil
}

func isAPKVariable(key string) bool {
	if key == "" || strings.HasPrefix(key, "APK_") || !isLetter(rune(key[0])) {
		return false
	}
	return !slices.ContainsFunc([]rune(key), func(r rune) bool { return !isLetter(r) && !('0' <= r && r <= '9') && r != '_' })
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// expand fills in "${key}". Its result is no longer than a path may be, however often variables name variables.
func (s *apkSources) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			break
		}
		key, after, closed := strings.Cut(rest, "}")
		value, known := s.variables[key]
		if !closed || !known {
			return "", fmt.Errorf("\"${%.40s\" is no variable that is set", rest)
		}
		out.WriteString(value)
		if text = after; out.Len() > maxPath {
			break
		}
	}
	if out.Len() > maxPath {
		return "", fmt.Errorf("an address of more than %d bytes", maxPath)
	}
	return out.String(), nil
}
