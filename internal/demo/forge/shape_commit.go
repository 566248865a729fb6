package forge

import (
	"context"
	"strconv"
	"strings"
)

type linkJSON struct {
	SHA     string `json:"sha"`
	URL     string `json:"url"`
	HTMLURL string `json:"html_url,omitempty"`
}

type verificationJSON struct {
	Verified   bool    `json:"verified"`
	Reason     string  `json:"reason"`
	Signature  *string `json:"signature"`
	Payload    *string `json:"payload"`
	VerifiedAt *string `json:"verified_at"`
}

// gitCommitJSON is a commit as the git data API shows it.
type gitCommitJSON struct {
	SHA          string           `json:"sha"`
	NodeID       string           `json:"node_id"`
	URL          string           `json:"url"`
	HTMLURL      string           `json:"html_url"`
	Author       person           `json:"author"`
	Committer    person           `json:"committer"`
	Tree         linkJSON         `json:"tree"`
	Message      string           `json:"message"`
	Parents      []linkJSON       `json:"parents"`
	Verification verificationJSON `json:"verification"`
}

func (f *Forge) gitCommit(r *repository, c commit) gitCommitJSON {
	parents := []linkJSON{}
	for _, sha := range c.Parents {
		parents = append(parents, linkJSON{
			SHA: sha, URL: f.repoAPI(r, "/git/commits/%s", sha), HTMLURL: f.repoWeb(r, "/commit/%s", sha),
		})
	}
	return gitCommitJSON{
		SHA: c.SHA, NodeID: nodeID("Commit", c.SHA), URL: f.repoAPI(r, "/git/commits/%s", c.SHA),
		HTMLURL: f.repoWeb(r, "/commit/%s", c.SHA), Author: c.Author, Committer: c.Committer,
		Tree: linkJSON{SHA: c.Tree, URL: f.repoAPI(r, "/git/trees/%s", c.Tree)}, Message: c.Message, Parents: parents,
		Verification: verificationJSON{Reason: "unsigned"},
	}
}

// commitJSON is a commit as the repository's history shows it, with the users behind it.
type commitJSON struct {
	SHA         string         `json:"sha"`
	NodeID      string         `json:"node_id"`
	URL         string         `json:"url"`
	HTMLURL     string         `json:"html_url"`
	CommentsURL string         `json:"comments_url"`
	Commit      commitPartJSON `json:"commit"`
	Author      *userJSON      `json:"author"`
	Committer   *userJSON      `json:"committer"`
	Parents     []linkJSON     `json:"parents"`
}

type commitPartJSON struct {
	Author       person           `json:"author"`
	Committer    person           `json:"committer"`
	Message      string           `json:"message"`
	Tree         linkJSON         `json:"tree"`
	URL          string           `json:"url"`
	CommentCount int              `json:"comment_count"`
	Verification verificationJSON `json:"verification"`
}

func (f *Forge) commit(r *repository, c commit) commitJSON {
	git := f.gitCommit(r, c)
	self := f.repoAPI(r, "/commits/%s", c.SHA)
	return commitJSON{
		SHA: c.SHA, NodeID: git.NodeID, URL: self, HTMLURL: git.HTMLURL, CommentsURL: self + "/comments",
		Commit: commitPartJSON{
			Author: c.Author, Committer: c.Committer, Message: c.Message, Tree: git.Tree, URL: git.URL,
			Verification: git.Verification,
		},
		Author: f.userOf(c.Author), Committer: f.userOf(c.Committer), Parents: git.Parents,
	}
}

func (f *Forge) commits(r *repository, all []commit) []commitJSON {
	out := []commitJSON{}
	for _, c := range all {
		out = append(out, f.commit(r, c))
	}
	return out
}

// fileJSON is a file that differs between two commits.
type fileJSON struct {
	SHA         string `json:"sha"`
	Filename    string `json:"filename"`
	Status      string `json:"status"`
	Additions   int    `json:"additions"`
	Deletions   int    `json:"deletions"`
	Changes     int    `json:"changes"`
	BlobURL     string `json:"blob_url"`
	RawURL      string `json:"raw_url"`
	ContentsURL string `json:"contents_url"`
	Patch       string `json:"patch,omitempty"`
}

// files lists what differs between two commits. A file that git cannot describe is left out.
func (f *Forge) files(ctx context.Context, r *repository, from, to string) []fileJSON {
	git := f.git(r)
	out, err := git.run(ctx, nil, nil, "diff", "--no-renames", "--raw", "-z", "--abbrev=40", from, to)
	if err != nil {
		return []fileJSON{}
	}
	files := []fileJSON{}
	parts := strings.Split(string(out), "\x00")
	for ; len(parts) >= 2; parts = parts[2:] { // ":100644 100644 sha sha M", path
		fields, path := strings.Fields(parts[0]), parts[1]
		if len(fields) != 5 {
			continue
		}
		file := fileJSON{
			SHA: fields[3], Filename: path, Status: fileStatus(fields[4]),
			BlobURL: f.repoWeb(r, "/blob/%s/%s", to, escapePath(path)),
			RawURL:  f.repoWeb(r, "/raw/%s/%s", to, escapePath(path)),

			ContentsURL: f.repoAPI(r, "/contents/%s?ref=%s", escapePath(path), to),
		}
		file.Additions, file.Deletions = git.changedLines(ctx, from, to, path)
		file.Changes = file.Additions + file.Deletions
		file.Patch = git.patch(ctx, from, to, path)
		files = append(files, file)
	}
	return files
}

func fileStatus(letter string) string {
	switch letter {
	case "A":
		return "added"
	case "D":
		return "removed"
	case "T":
		return "changed"
	}
	return "modified"
}

func (g gitDir) changedLines(ctx context.Context, from, to, path string) (added, removed int) {
	out, err := g.line(ctx, nil, "diff", "--no-renames", "--numstat", from, to, "--", path)
	if fields := strings.Fields(out); err == nil && len(fields) >= 2 {
		added, _ = strconv.Atoi(fields[0]) // "-" for a binary file
		removed, _ = strconv.Atoi(fields[1])
	}
	return added, removed
}

func (g gitDir) patch(ctx context.Context, from, to, path string) string {
	out, err := g.line(ctx, nil, "diff", "--no-renames", from, to, "--", path)
	if i := strings.Index(out, "@@"); err == nil && i >= 0 {
		return out[i:]
	}
	return ""
}
