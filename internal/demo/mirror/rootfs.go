package mirror

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"rebuilder/internal/demo/command"
)

// maxStatus bounds the dpkg status file that is read back from a root file system.
const maxStatus = 16 << 20

// included are the packages on top of a minimal system. ca-certificates brings openssl and libssl3.
var included = []string{"ca-certificates"}

// makeRootFS makes a minimal root file system from the main suite and packs it as a gzipped tar file at out, its dpkg
// status beside it at status. Nothing in it tells from which machine or mirror it came.
func makeRootFS(ctx context.Context, s Sources, keys, work, out, status string) error {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	args := []string{
		// A mount and a process namespace of its own: nothing of it outlives us, whatever kills us.
		"--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL",
		"env", "TMPDIR=" + work,
		"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--format=tar",
		"--architectures=" + s.Architecture, "--keyring=" + keys, "--include=" + strings.Join(included, ","),
	}
	for _, dir := range []string{"doc", "man", "info", "locale", "bash-completion"} {
		args = append(args, "--dpkgopt=path-exclude=/usr/share/"+dir+"/*")
	}
	args = append(args, s.Codename, "-")
	for _, src := range s.Main {
		args = append(args, "deb "+src.URI+" "+src.Suite+" main")
	}
	pr, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := packRootFS(pr, out, status)
		_ = pr.CloseWithError(err) // stops mmdebstrap when packing failed
		packed <- err
	}()
	err := command.Write(ctx, pw, work, "unshare", args...)
	_ = pw.CloseWithError(err) // no error is the end of the stream
	if perr := <-packed; perr != nil && (err == nil || !errors.Is(perr, err)) {
		err = perr
	}
	if err != nil {
		return fmt.Errorf("make root file system: %w", err)
	}
	return nil
}

// packRootFS copies a tar stream to a gzipped file without what belongs to the machine that made it.
func packRootFS(r io.Reader, out, status string) error {
	f, err := os.Create(out + ".new")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	zw, err := gzip.NewWriterLevel(buffered, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := scrub(zw, r, status); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // a tar stream is padded behind its end
		return err
	}
	if err := errors.Join(zw.Close(), buffered.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}

// scrub copies a tar stream, drops what scrubbed names, and writes the dpkg status file to status. The order of entries is
// the stream's; mmdebstrap sorts them.
func scrub(w io.Writer, r io.Reader, status string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	found := false
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if name == "" || scrubbed(name, h.Typeflag == tar.TypeDir) {
			continue
		}
		var content io.Reader = in
		if name == "var/lib/dpkg/status" {
			data, err := io.ReadAll(io.LimitReader(in, maxStatus))
			if err != nil {
				return err
			}
			if err := os.WriteFile(status, data, 0o644); err != nil {
				return err
			}
			content, found = strings.NewReader(string(data)), true
		}
		h.Name = name
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		h.Format = tar.FormatPAX
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.Copy(out, content); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !found {
		return errors.New("it has no var/lib/dpkg/status")
	}
	return out.Close()
}

// scrubbed says whether a path stays out of the packed root file system: the mirror's name is in apt's sources and in the
// names of its lists, the machine's in etc/hostname and etc/resolv.conf; the rest are caches and logs.
func scrubbed(name string, dir bool) bool {
	if slices.Contains([]string{"etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/apt/sources.list",
		"var/cache/ldconfig/aux-cache", "var/lib/dbus/machine-id"}, name) {
		return true
	}
	for _, d := range []string{"etc/apt/sources.list.d", "var/lib/apt/lists", "var/cache/apt", "var/log", "dev", "run", "tmp"} {
		if strings.HasPrefix(name, d+"/") {
			return !dir || d == "dev"
		}
	}
	ext := filepath.Ext(name)
	return strings.HasSuffix(name, "-old") && (strings.HasPrefix(name, "var/lib/dpkg/") || strings.HasPrefix(name, "var/cache/debconf/")) ||
		ext == ".dpkg-old"
}
