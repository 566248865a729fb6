// Package debrepo is a signed Debian package repository, served over HTTP, for the demo and for tests.
//
// A repository is a directory:
//
//	key.pgp                         the signing key, made on Open
//	public/pool/                    the .deb files; only ever added to
//	public/dists -> ../index/<n>    the index that is served, replaced in one step by Publish
//	index/<n>/<codename>/...        InRelease, Release, Packages, by-hash
//
// The index is made by apt-ftparchive and signed by us. A client that read an InRelease just before a Publish still finds
// what it names, by hash.
package debrepo

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"rebuilder/internal/demo/command"
)

// Config describes a repository. Codename is required.
type Config struct {
	Codename     string
	Architecture string        // default "amd64"
	Origin       string        // default "demo"
	ValidFor     time.Duration // how long an index is valid; default 7 days
}

// Repository is one suite with one component, main. Its methods may be called from several goroutines.
type Repository struct {
	dir    string
	config Config
	key    *openpgp.Entity

	mu sync.Mutex // one Publish at a time
}

// Open opens the repository in dir; it is made, with a fresh signing key, when missing.
func Open(dir string, c Config) (*Repository, error) {
	if c.Codename == "" || strings.ContainsAny(c.Codename, "/ \n") {
		return nil, fmt.Errorf("open package repository %s: codename %q", dir, c.Codename)
	}
	if c.Architecture == "" {
		c.Architecture = "amd64"
	}
	if c.Origin == "" {
		c.Origin = "demo"
	}
	if c.ValidFor == 0 {
		c.ValidFor = 7 * 24 * time.Hour
	}
	for _, d := range []string{"public/pool", "index"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("open package repository: %w", err)
		}
	}
	key, err := openKey(filepath.Join(dir, "key.pgp"), c.Origin)
	if err != nil {
		return nil, fmt.Errorf("open package repository: %w", err)
	}
	return &Repository{dir: dir, config: c, key: key}, nil
}

// PublicKey is the archive key as apt reads it from a .gpg file.
func (r *Repository) PublicKey() ([]byte, error) {
	var b bytes.Buffer
	err := r.key.Serialize(&b)
	return b.Bytes(), err
}

// Published says whether there is an index to read.
func (r *Repository) Published() bool {
	_, err := os.Stat(filepath.Join(r.public(), "dists"))
	return err == nil
}

// Publish adds packages to the pool, then makes, signs and shows a new index of the whole pool in one step. It returns
// the time from which the new index can be read. Packages that are there already are no error.
func (r *Repository) Publish(ctx context.Context, debs ...string) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, deb := range debs {
		if err := copyFile(filepath.Join(r.public(), "pool", poolName(deb)), deb); err != nil {
			return time.Time{}, fmt.Errorf("publish %s: %w", filepath.Base(deb), err)
		}
	}
	at, err := r.publishIndex(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("publish package index: %w", err)
	}
	return at, nil
}

func (r *Repository) public() string { return filepath.Join(r.dir, "public") }

// publishIndex writes the next index beside the present one and moves the link to it.
func (r *Repository) publishIndex(ctx context.Context) (time.Time, error) {
	before, next, err := r.generations()
	if err != nil {
		return time.Time{}, err
	}
	root := filepath.Join(r.dir, "index", strconv.Itoa(next))
	if err := r.writeIndex(ctx, filepath.Join(root, r.config.Codename), before); err != nil {
		return time.Time{}, err
	}
	link := filepath.Join(r.public(), "dists")
	if err := os.Symlink(filepath.Join("..", "index", strconv.Itoa(next)), link+".new"); err != nil {
		return time.Time{}, err
	}
	if err := os.Rename(link+".new", link); err != nil {
		return time.Time{}, err
	}
	return time.Now(), nil
}

// generations returns the index that is served, empty for none, and the number of the next one. What a killed Publish
// left behind is removed.
func (r *Repository) generations() (before string, next int, err error) {
	link := filepath.Join(r.public(), "dists")
	if err := os.Remove(link + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	target, err := os.Readlink(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		next = 1
	case err != nil:
		return "", 0, err
	default:
		n, err := strconv.Atoi(filepath.Base(target))
		if err != nil {
			return "", 0, fmt.Errorf("%s points to %q", link, target)
		}
		before = filepath.Join(r.dir, "index", strconv.Itoa(n), r.config.Codename)
		next = n + 1
	}
	return before, next, os.RemoveAll(filepath.Join(r.dir, "index", strconv.Itoa(next)))
}

// writeIndex writes the index of one suite into dir. The files that the index before it named stay readable by hash.
func (r *Repository) writeIndex(ctx context.Context, dir, before string) error {
	binary := filepath.Join(dir, "main", "binary-"+r.config.Architecture)
	if err := os.MkdirAll(binary, 0o755); err != nil {
		return err
	}
	packages, err := command.Run(ctx, r.public(), "apt-ftparchive", "packages", "pool")
	if err != nil {
		return err
	}
	zipped, err := compress(packages)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"Packages": packages, "Packages.gz": zipped} {
		if err := os.WriteFile(filepath.Join(binary, name), data, 0o644); err != nil {
			return err
		}
	}
	date, err := nextDate(before)
	if err != nil {
		return err
	}
	release, err := r.release(ctx, dir, date)
	if err != nil {
		return err
	}
	if err := byHash(binary, before, packages, zipped); err != nil {
		return err
	}
	signed, err := clearSign(r.key, release)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"Release": release, "InRelease": signed} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, date, date); err != nil {
			return err
		}
	}
	return nil
}

// release makes the release file of the index in dir.
func (r *Repository) release(ctx context.Context, dir string, date time.Time) ([]byte, error) {
	args := []string{"release"}
	for _, f := range [][2]string{
		{"Origin", r.config.Origin},
		{"Label", r.config.Origin},
		{"Suite", r.config.Codename},
		{"Codename", r.config.Codename},
		{"Date", date.UTC().Format(releaseTime)},
		{"ValidTime", strconv.FormatInt(int64(r.config.ValidFor/time.Second), 10)},
		{"Acquire-By-Hash", "yes"},
		{"Architectures", r.config.Architecture},
		{"Components", "main"},
		{"Description", "the demo's packages"},
	} {
		args = append(args, "-o", "APT::FTPArchive::Release::"+f[0]+"="+f[1])
	}
	for _, weak := range []string{"MD5", "SHA1", "SHA512"} {
		args = append(args, "-o", "APT::FTPArchive::"+weak+"=no")
	}
	return command.Run(ctx, "", "apt-ftparchive", append(args, dir)...)
}

// nextDate is now, or the second after the index before was made: clients compare whole seconds, and one that asks twice
// within a second would otherwise be told that nothing changed.
func nextDate(before string) (time.Time, error) {
	now := time.Now().Truncate(time.Second)
	if before == "" {
		return now, nil
	}
	info, err := os.Stat(filepath.Join(before, "InRelease"))
	if err != nil {
		return time.Time{}, err
	}
	if earliest := info.ModTime().Add(time.Second); now.Before(earliest) {
		return earliest, nil
	}
	return now, nil
}

// releaseTime is the form of Date.
const releaseTime = "Mon, 02 Jan 2006 15:04:05 MST"

// byHash writes each index file under its hash as well, and keeps those of the index before.
func byHash(binary, before string, files ...[]byte) error {
	dir := filepath.Join(binary, "by-hash", "SHA256")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if before != "" {
		old := filepath.Join(before, "main", filepath.Base(binary))
		for _, name := range []string{"Packages", "Packages.gz"} {
			data, err := os.ReadFile(filepath.Join(old, name))
			if err != nil {
				return err
			}
			files = append(files, data)
		}
	}
	for _, data := range files {
		sum := sha256.Sum256(data)
		if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:])), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

// poolName is a package file's name in the pool: apt's cache writes an epoch into it ("1%3a2.3"), archives do not.
func poolName(path string) string {
	base := filepath.Base(path)
	if name, rest, ok := strings.Cut(base, "_"); ok {
		if epoch, version, ok := strings.Cut(rest, "%3a"); ok && !strings.Contains(epoch, "_") {
			return name + "_" + version
		}
	}
	return base
}

// copyFile copies from to to, whole or not at all; what is there already is kept.
func copyFile(to, from string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	// Not in the pool itself, where a killed copy would be indexed.
	tmp, err := os.CreateTemp(filepath.Dir(filepath.Dir(to)), ".deb-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = io.Copy(tmp, in)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}
