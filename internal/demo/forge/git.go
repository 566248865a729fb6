package forge

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const noCommit = "0000000000000000000000000000000000000000"

// gitDir is a bare repository, asked through the git binary.
type gitDir struct{ dir string }

// entry is one line of a tree. An empty SHA removes the path.
type entry struct {
	Mode, Type, SHA, Path string
	Size                  int // of a blob
}

type person struct {
	Name  string    `json:"name"`
	Email string    `json:"email"`
	Date  time.Time `json:"date"`
}

type commit struct {
	SHA, Tree, Message string
	Parents            []string
	Author, Committer  person
}

// run returns what a git command wrote, byte for byte. Nothing of the machine's own git settings is used.
func (g gitDir) run(ctx context.Context, stdin []byte, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir", g.dir}, args...)...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
	}, env...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return out.Bytes(), nil
}

// line runs a git command whose answer is one line.
func (g gitDir) line(ctx context.Context, stdin []byte, args ...string) (string, error) {
	out, err := g.run(ctx, stdin, nil, args...)
	return strings.TrimSpace(string(out)), err
}

// rev returns the object a name stands for, or "".
func (g gitDir) rev(ctx context.Context, name string) string {
	sha, err := g.line(ctx, nil, "rev-parse", "--verify", "-q", "--end-of-options", name)
	if err != nil {
		return ""
	}
	return sha
}

// head returns the commit at the tip of a branch, or "".
func (g gitDir) head(ctx context.Context, branch string) string {
	return g.rev(ctx, "refs/heads/"+branch)
}

// resolve returns the commit that a REST {ref} means (branch, tag, full ref or sha), or "".
func (g gitDir) resolve(ctx context.Context, ref string) string {
	for _, name := range []string{"refs/heads/" + ref, "refs/tags/" + ref, ref} {
		if sha := g.rev(ctx, name+"^{commit}"); sha != "" {
			return sha
		}
	}
	return ""
}

// refs returns branches and tags with the objects they point to.
func (g gitDir) refs(ctx context.Context) (map[string]string, error) {
	out, err := g.run(ctx, nil, nil, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for _, line := range strings.Split(string(out), "\n") {
		if name, sha, ok := strings.Cut(line, " "); ok {
			refs[name] = sha
		}
	}
	return refs, nil
}

// moveRef sets a ref if it still is at from; "" means that it is not there, before or after.
func (g gitDir) moveRef(ctx context.Context, ref, to, from string) error {
	if to == "" {
		_, err := g.line(ctx, nil, "update-ref", "-d", ref, from)
		return err
	}
	if from == "" {
		from = noCommit
	}
	_, err := g.line(ctx, nil, "update-ref", ref, to, from)
	return err
}

// commitFormat has the ten fields that commits reads, each ended by NUL (the last by -z).
const commitFormat = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"

// commits lists history as git log does: arguments such as "-1", "--reverse", "a..b".
func (g gitDir) commits(ctx context.Context, args ...string) ([]commit, error) {
	out, err := g.run(ctx, nil, nil, append([]string{"log", "-z", "--format=" + commitFormat}, args...)...)
	if err != nil {
		return nil, err
	}
	fields := strings.Split(string(out), "\x00")
	var all []commit
	for ; len(fields) >= 10; fields = fields[10:] {
		all = append(all, commit{
			SHA: fields[0], Tree: fields[1], Parents: strings.Fields(fields[2]),
			Author: parsePerson(fields[3:6]), Committer: parsePerson(fields[6:9]),
			Message: strings.TrimRight(fields[9], "\n"),
		})
	}
	return all, nil
}

func parsePerson(fields []string) person {
	date, _ := time.Parse(time.RFC3339, fields[2]) // git's own %aI
	return person{Name: fields[0], Email: fields[1], Date: date.UTC()}
}

func (g gitDir) commit(ctx context.Context, sha string) (commit, error) {
	found, err := g.commits(ctx, "-1", sha, "--")
	if err != nil {
		return commit{}, err
	}
	if len(found) != 1 {
		return commit{}, fmt.Errorf("no commit %s", sha)
	}
	return found[0], nil
}

func (g gitDir) writeCommit(ctx context.Context, c commit) (string, error) {
	args := []string{"commit-tree", c.Tree}
	for _, parent := range c.Parents {
		args = append(args, "-p", parent)
	}
	env := append(identityEnv("AUTHOR", c.Author), identityEnv("COMMITTER", c.Committer)...)
	out, err := g.run(ctx, []byte(c.Message), env, args...)
	return strings.TrimSpace(string(out)), err
}

func identityEnv(role string, p person) []string {
	prefix := "GIT_" + role + "_"
	return []string{
		prefix + "NAME=" + p.Name, prefix + "EMAIL=" + p.Email, prefix + "DATE=" + p.Date.Format(time.RFC3339),
	}
}

func (g gitDir) writeBlob(ctx context.Context, content []byte) (string, error) {
	return g.line(ctx, content, "hash-object", "-w", "--stdin")
}

func (g gitDir) blob(ctx context.Context, sha string) ([]byte, error) {
	return g.run(ctx, nil, nil, "cat-file", "blob", sha)
}

// writeTree applies entries to a base tree ("" for none) and returns the new tree.
func (g gitDir) writeTree(ctx context.Context, base string, entries []entry) (string, error) {
	scratch, err := os.MkdirTemp("", "forge-index-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(scratch, "index")}
	if base != "" {
		if _, err := g.run(ctx, nil, env, "read-tree", base); err != nil {
			return "", err
		}
	}
	var in bytes.Buffer
	for _, e := range entries {
		if e.SHA == "" {
			e.Mode, e.SHA = "0", noCommit
		}
		fmt.Fprintf(&in, "%s %s\t%s\x00", e.Mode, e.SHA, e.Path)
	}
	if _, err := g.run(ctx, in.Bytes(), env, "update-index", "-z", "--add", "--index-info"); err != nil {
		return "", err
	}
	out, err := g.run(ctx, nil, env, "write-tree")
	return strings.TrimSpace(string(out)), err
}

// tree lists a tree: one level, or everything.
func (g gitDir) tree(ctx context.Context, tree string, recursive bool, paths ...string) ([]entry, error) {
	args := []string{"ls-tree", "-z", "-l"}
	if recursive {
		args = append(args, "-r", "-t")
	}
	out, err := g.run(ctx, nil, nil, append(append(args, tree, "--"), paths...)...)
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, line := range strings.Split(string(out), "\x00") {
		meta, path, ok := strings.Cut(line, "\t")
		if fields := strings.Fields(meta); ok && len(fields) == 4 {
			size, _ := strconv.Atoi(fields[3]) // "-" for a tree
			all = append(all, entry{Mode: fields[0], Type: fields[1], SHA: fields[2], Path: path, Size: size})
		}
	}
	return all, nil
}

// isAncestor says whether a can be reached from b.
func (g gitDir) isAncestor(ctx context.Context, a, b string) bool {
	_, err := g.line(ctx, nil, "merge-base", "--is-ancestor", a, b)
	return err == nil
}

// mergeBase returns the best common ancestor, or a when there is none.
func (g gitDir) mergeBase(ctx context.Context, a, b string) string {
	sha, err := g.line(ctx, nil, "merge-base", a, b)
	if err != nil {
		return a
	}
	return sha
}

// count returns the number of commits in a range "a..b".
func (g gitDir) count(ctx context.Context, span string) int {
	out, err := g.line(ctx, nil, "rev-list", "--count", span)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(out)
	return n
}

// mergeTree returns the tree of a merge, or false when it conflicts.
func (g gitDir) mergeTree(ctx context.Context, base, head string) (string, bool) {
	out, err := g.line(ctx, nil, "merge-tree", "--write-tree", base, head)
	if err != nil {
		return "", false
	}
	tree, _, _ := strings.Cut(out, "\n")
	return tree, true
}
