package observe

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"
	"unicode"
)

const (
	gitPatience = 5 * time.Second
	longestName = 60 // of an author
)

// revision says which commit changed a context last, "commit 1a2b3c4 by Ada Lovelace", and whether there is more in it than is
// committed. It is empty when the context is in no git work tree, or git is not there or does not trust who owns it: then
// nothing is known, and nothing is said.
func revision(ctx context.Context, dir string) string {
	ctx, cancel := context.WithTimeout(ctx, gitPatience)
	defer cancel()
	last, err := git(ctx, dir, "log", "-1", "--no-show-signature", "--abbrev=7", "--format=%h%x00%an", "--", ".")
	commit, author, ok := strings.Cut(strings.TrimSpace(last), "\x00")
	if err != nil || !ok || commit == "" {
		return ""
	}
	said := "commit " + commit
	if name := printable(author); name != "" {
		said += " by " + name
	}
	if changed, err := git(ctx, dir, "status", "--porcelain", "--untracked-files=normal", "--", "."); err == nil && changed != "" {
		said += ", and changes that are not committed"
	}
	return said
}

// git asks git and changes nothing: it takes no locks, starts no hooks or pagers, and reads no terminal.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks", "--no-pager"}, args...)...) // #nosec G204 -- the arguments are ours
	cmd.Dir, cmd.WaitDelay = dir, time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0"} // none of the daemon's secrets
	var out bounded
	cmd.Stdout = &out
	err := cmd.Run()
	return string(out), err
}

// bounded keeps the beginning of what is written to it.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	const most = 4 << 10
	*b = append(*b, p[:min(len(p), most-min(len(*b), most))]...)
	return len(p), nil
}

// printable is an author's name as one line of bounded length.
func printable(s string) string {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return -1
		}
		return c
	}, s))
	if r := []rune(s); len(r) > longestName {
		s = string(r[:longestName]) + "…"
	}
	return s
}
