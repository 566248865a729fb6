package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"rebuilder/internal/dockerfile"
	"rebuilder/internal/graph"
	"rebuilder/internal/notify"
	"rebuilder/internal/store"
)

const (
	maxFiles       = 40        // Dockerfiles of one repository
	maxFile        = 256 << 10 // bytes of one, as much as is parsed
	maxReferences  = 64        // of one file
	maxDirectories = 30        // looked at one by one where the forge does not list a whole tree
	maxPath        = 512       // bytes
	maxProblem     = 300       // bytes of what is wrong with one file
)

// dockerfiles finds and reads the Dockerfiles of a commit. Those whose content was read before are not read again.
func (f *forgeWalk) dockerfiles(ctx context.Context, repo, commit string, d *store.ObservedDetail) error {
	entries, missing, err := f.entries(ctx, repo, commit)
	if err != nil {
		return err
	}
	files, unread := candidates(entries)
	if missing != "" {
		unread = append(unread, missing)
	}
	known := map[string]store.ObservedFile{}
	for _, file := range d.Files {
		known[file.SHA+" "+file.Path] = file
	}
	read := []store.ObservedFile{}
	for _, e := range files {
		file, ok := known[e.SHA+" "+e.Path]
		if !ok {
			src, err := f.cfg.Forge.Blob(ctx, repo, e.SHA)
			f.spend(1)
			if err != nil {
				return err
			}
			file = parse(e, src)
		}
		read = append(read, file)
	}
	d.Files, d.Unread = read, strings.Join(unread, "; ")
	return nil
}

// entries lists a commit's files. Where the forge breaks the list off, the directories next to the root are listed one by
// one; missing says in a sentence that this is not all.
func (f *forgeWalk) entries(ctx context.Context, repo, commit string) (all []notify.TreeEntry, missing string, err error) {
	tree, err := f.tree(ctx, repo, commit, true)
	if err != nil || !tree.Truncated {
		return tree.Entries, "", err
	}
	type directory struct{ path, sha string }
	todo := []directory{{"", commit}}
	looked := 0
	for ; len(todo) > 0 && looked < maxDirectories; looked++ {
		at := todo[0]
		todo = todo[1:]
		tree, err := f.tree(ctx, repo, at.sha, false)
		if err != nil {
			return nil, "", err
		}
		var below []directory
		for _, e := range tree.Entries {
			e.Path = path.Join(at.path, e.Path)
			if e.Kind == notify.Directory && !vendored(e.Path+"/") {
				below = append(below, directory{e.Path, e.SHA})
			}
			all = append(all, e)
		}
		slices.SortFunc(below, func(a, b directory) int { return strings.Compare(a.path, b.path) })
		todo = append(todo, below...)
	}
	if len(todo) > 0 {
		missing = fmt.Sprintf("the repository is too large for the forge to list: %d of its directories were looked at, and deeper ones were not", looked)
	}
	return all, missing, nil
}

// tree also reads of an empty tree that there is nothing.
func (f *forgeWalk) tree(ctx context.Context, repo, sha string, recursive bool) (notify.Tree, error) {
	tree, err := f.cfg.Forge.Tree(ctx, repo, sha, recursive)
	f.spend(1)
	if err != nil {
		return notify.Tree{}, err
	}
	f.reserve(tree.Rate)
	return tree, nil
}

// candidates are the Dockerfiles among a tree's entries, those next to the root first. unread says which are left out.
func candidates(entries []notify.TreeEntry) (files []notify.TreeEntry, unread []string) {
	for _, e := range entries {
		switch {
		case e.Kind != notify.RegularFile || !isDockerfile(e.Path) || vendored(e.Path):
		case len(e.Path) > maxPath:
			unread = append(unread, fmt.Sprintf("a Dockerfile whose path has %d bytes was not read", len(e.Path)))
		case e.Size > maxFile:
			unread = append(unread, fmt.Sprintf("%s was not read: it has %d bytes, more than %d", e.Path, e.Size, maxFile))
		default:
			files = append(files, e)
		}
	}
	slices.SortFunc(files, func(a, b notify.TreeEntry) int {
		return cmp.Or(cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/")), strings.Compare(a.Path, b.Path))
	})
	if n := len(files) - maxFiles; n > 0 {
		files = files[:maxFiles]
		unread = append(unread, fmt.Sprintf("%d of its %d Dockerfiles were not read", n, n+maxFiles))
	}
	if n := len(unread); n > 5 {
		unread = append(unread[:5:5], fmt.Sprintf("%d more like these", n-5))
	}
	return files, unread
}

// isDockerfile says that a file is named like one: Dockerfile, Dockerfile.prod, prod.Dockerfile, Containerfile.
func isDockerfile(file string) bool {
	base := strings.ToLower(path.Base(file))
	if strings.HasSuffix(base, ".dockerignore") || strings.HasSuffix(base, ".containerignore") {
		return false
	}
	for _, name := range []string{"dockerfile", "containerfile"} {
		if base == name || strings.HasPrefix(base, name+".") || strings.HasSuffix(base, "."+name) {
			return true
		}
	}
	return false
}

// vendored says that a path is in a copy of somebody else's code.
func vendored(file string) bool {
	return slices.ContainsFunc(strings.Split(path.Dir(file), "/"), func(dir string) bool { return dir == "node_modules" || dir == "vendor" })
}

// parse reads what a Dockerfile names. What cannot be read is in the file's problem.
func parse(e notify.TreeEntry, src []byte) store.ObservedFile {
	file := store.ObservedFile{Path: e.Path, SHA: e.SHA}
	parsed, err := dockerfile.Parse(e.Path, src, nil)
	if err == nil {
		file.References, err = references(parsed)
	}
	if err != nil {
		file.Problem = "it cannot be told what it stands on: " + err.Error()
		file.Problem = file.Problem[:min(len(file.Problem), maxProblem)]
	}
	return file
}

func references(f *dockerfile.File) (refs []store.ObservedReference, err error) {
	uses, err := f.Uses("")
	if err != nil {
		return nil, err
	}
	for _, u := range uses {
		if u.Use == dockerfile.Frontend {
			continue
		}
		if len(refs) == maxReferences {
			return refs, errors.New("it names more than " + fmt.Sprint(maxReferences) + " images")
		}
		refs = append(refs, store.ObservedReference{Name: u.Name, Kind: string(kindOf(u)), Line: u.Line})
	}
	return refs, nil
}

// kindOf says how a reference is used. What the last stage does not need another target may: nobody has told which one is
// built.
func kindOf(u dockerfile.Used) graph.EdgeKind {
	switch {
	case u.Use == dockerfile.Inherits:
		return graph.Inherits
	case u.Role == dockerfile.From:
		return graph.BuildsWith
	}
	return graph.CopiesFrom
}
