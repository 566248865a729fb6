package inventory

import (
	"archive/tar"
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	rpmdb "github.com/knqyf263/go-rpmdb/pkg"
	"github.com/knqyf263/go-rpmdb/pkg/bdb"
	rpmdbi "github.com/knqyf263/go-rpmdb/pkg/db"
	"github.com/knqyf263/go-rpmdb/pkg/ndb"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	rpmSQLite = "rpmdb.sqlite"
	rpmWAL    = "rpmdb.sqlite-wal" // what was written last, when rpm could not tidy up
	rpmNDB    = "Packages.db"
	rpmBDB    = "Packages"
	// rpmManifest lists the packages of images that have no database any more.
	rpmManifest = "/var/lib/rpmmanifest/container-manifest-2"
)

// rpm is the package database of Red Hat's and SUSE's systems and what descends from them, in its three forms: SQLite,
// "new database" and Berkeley DB.
var rpm = database{family: RPM, files: rpmFiles, together: readRPM}

// rpmDirs are where the database may be; several are often links to one.
func rpmDirs() []string {
	return []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"}
}

func isRPMDatabase(at string) bool {
	dir, base := path.Split(at)
	switch base {
	case rpmSQLite, rpmWAL, rpmNDB, rpmBDB:
		return path.Base(dir) == "rpm"
	}
	return base == path.Base(rpmManifest) && path.Base(dir) == path.Base(path.Dir(rpmManifest))
}

// isVolatileRPM says that a path is of those that differ between two installations of the same packages: rpm's database,
// and what dnf and yum write down of what they did and when.
func isVolatileRPM(at string) bool {
	for _, dir := range rpmDirs() {
		if rest, ok := strings.CutPrefix(at, dir+"/"); ok {
			return isRPMDatabase(at) || strings.HasPrefix(rest, "rpmdb.sqlite-") || strings.HasPrefix(rest, "__db.") || rest == ".rpm.lock" || rest == "Index.db" || isBDBIndex(rest)
		}
	}
	for _, dir := range []string{"/var/cache/dnf/", "/var/cache/yum/", "/var/cache/libdnf5/", "/var/lib/dnf/", "/var/lib/yum/", "/usr/lib/sysimage/libdnf5/"} {
		if strings.HasPrefix(at, dir) {
			return true
		}
	}
	return false
}

// isBDBIndex says that a file is one of those that rpm makes of its Berkeley DB.
func isBDBIndex(name string) bool {
	switch name {
	case "Basenames", "Conflictname", "Dirnames", "Enhancename", "Filetriggername", "Group", "Installtid", "Name", "Obsoletename", "Providename",
		"Provideversion", "Recommendname", "Requirename", "Requireversion", "Sha1header", "Sigmd5", "Suggestname", "Supplementname", "Transfiletriggername", "Triggername":
		return true
	}
	return false
}

// fingerprintRPM writes the packages that a database has.
func fingerprintRPM(w io.Writer, packages []Package) {
	for _, p := range packages {
		if p.Type == RPM {
			fmt.Fprintf(w, "rpm %q %q %q\n", p.Name, p.Version, p.Architecture)
		}
	}
}

// rpmFiles are the files of the first database there is. One in an older form may lie beside it: rpm leaves it there
// when it converts it.
func rpmFiles(t *tree) []string {
	for _, dir := range rpmDirs() {
		for _, base := range []string{rpmSQLite, rpmNDB, rpmBDB} {
			at := path.Join(dir, base)
			if n, _ := t.lookup(at, true); n == nil || n.typ != tar.TypeReg {
				continue
			}
			if base == rpmSQLite {
				return []string{at, path.Join(dir, rpmWAL)}
			}
			return []string{at}
		}
	}
	return []string{rpmManifest}
}

// readRPM reads the packages of one database.
func readRPM(files []databaseFile, add func(Package) error) error {
	if len(files) == 0 {
		return nil
	}
	read := func() error {
		if path.Base(files[0].at) == path.Base(rpmManifest) {
			return readRPMManifest(files[0].data, add)
		}
		return rpmPackages(files, func(p *rpmdb.PackageInfo) error { return addRPM(p, add) })
	}
	if err := read(); err != nil {
		return fmt.Errorf("%s: %w", files[0].at, err)
	}
	return nil
}

// addRPM adds what rpm has installed. The keys that rpm trusts lie in its database as packages that are none.
func addRPM(p *rpmdb.PackageInfo, add func(Package) error) error {
	if p.Name == "gpg-pubkey" {
		return nil
	}
	if p.Name == "" || p.Version == "" || p.Release == "" {
		return fmt.Errorf("a package without name, version or release (name %.100q, version %.100q)", p.Name, p.Version)
	}
	q := Package{Type: RPM, Name: p.Name, Version: rpmVersion(p.EpochNum(), p.Version+"-"+p.Release), Architecture: p.Arch}
	q.Source, q.SourceVersion = RPMSource(p.SourceRpm, q.Name, q.Version)
	q.Module = rpmModule(p.Modularitylabel)
	return add(q)
}

// rpmVersion writes an epoch only when there is one, as rpm does.
func rpmVersion(epoch int, versionRelease string) string {
	if epoch == 0 {
		return versionRelease
	}
	return strconv.Itoa(epoch) + ":" + versionRelease
}

// RPMSource reads the name of a source package's file, "openssl-3.0.7-1.el9.src.rpm", of the package of that name and
// version, which it is taken for when it says nothing. It has no epoch; packages of one build share it, so it is the
// package's own when version and release are.
func RPMSource(file, ofName, ofVersion string) (name, version string) {
	s := strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src")
	s = strings.TrimSuffix(s, ".nosrc")
	release := strings.LastIndexByte(s, '-')
	if release < 1 {
		return ofName, ofVersion
	}
	at := strings.LastIndexByte(s[:release], '-')
	if at < 1 {
		return ofName, ofVersion
	}
	name, version = s[:at], s[at+1:]
	if _, own, ok := strings.Cut(ofVersion, ":"); ok && own == version {
		version = ofVersion
	}
	return name, version
}

// rpmModule shortens a modularity label, "nodejs:18:8090020230718:abcd", to module and stream.
func rpmModule(label string) string {
	f := strings.SplitN(label, ":", 3)
	if len(f) < 2 || f[0] == "" || f[1] == "" {
		return ""
	}
	return f[0] + ":" + f[1]
}

// readRPMManifest reads what an image's maker wrote down before the database was removed: a line a package, of name,
// version-release, times, vendor, epoch, size, architecture, epoch as a number, source.
func readRPMManifest(data []byte, add func(Package) error) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 10 || f[0] == "" || !strings.Contains(f[1], "-") {
			return fmt.Errorf("line %d: ten fields expected, of a package's name, version-release and more", n)
		}
		epoch, err := strconv.Atoi(f[8])
		if err != nil || epoch < 0 {
			return fmt.Errorf("line %d: epoch %.20q is not a number", n, f[8])
		}
		p := Package{Type: RPM, Name: f[0], Version: rpmVersion(epoch, f[1]), Architecture: f[7]}
		p.Source, p.SourceVersion = RPMSource(f[9], p.Name, p.Version)
		if err := add(p); err != nil {
			return err
		}
	}
	return lines.Err()
}

// rpmPackages calls each for every header of a database.
//
// The database is untrusted, and the library was not written for that: it runs in circles in a Berkeley DB whose pages
// do, panics in a goroutine of its own on offsets behind a page's end, takes as much memory and time as a header claims to
// need, is silent about an SQLite file that ends early, and leaves a goroutine and a file behind when a header is
// malformed. So the file is checked first (rpmcheck.go), and the library is given one header at a time.
func rpmPackages(files []databaseFile, each func(*rpmdb.PackageInfo) error) error {
	dir, err := os.MkdirTemp("", "rebuilder-rpm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	header := func(blob []byte) error {
		p, err := rpmHeader(filepath.Join(dir, "header"), blob)
		if err != nil {
			return fmt.Errorf("not a package database: %.200w", err)
		}
		return each(p)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, path.Base(f.at)), f.data, 0o600); err != nil {
			return err
		}
	}
	at, data := filepath.Join(dir, path.Base(files[0].at)), files[0].data
	switch {
	case bytes.HasPrefix(data, []byte("SQLite format 3\x00")):
		return sqliteHeaders(at, distinct(files, header))
	case len(data) == 0: // made, and nothing installed yet
		return nil
	case bytes.HasPrefix(data, []byte(ndbMagic)):
		if err := checkNDB(data); err != nil {
			return err
		}
		db, err := ndb.Open(at)
		if err != nil {
			return err
		}
		defer db.Close()
		return drain(db.Read(), header)
	}
	if err := checkBDB(data); err != nil {
		return err
	}
	db, err := bdb.Open(at)
	if err != nil {
		return err
	}
	defer db.Close()
	return drain(db.Read(), header)
}

// drain reads a channel to its end, whatever happens: its writer would wait for ever.
func drain(entries <-chan rpmdbi.Entry, header func([]byte) error) (err error) {
	for e := range entries {
		if err != nil {
			continue
		}
		if err = e.Err; err == nil {
			err = header(e.Value)
		}
	}
	return err
}

// sqliteHeaders reads an SQLite database. What is called Packages must be a plain table: a view could compute for ever.
func sqliteHeaders(at string, header func([]byte) error) error {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: at}).EscapedPath()+"?_pragma=trusted_schema(0)&_pragma=cell_size_check(1)")
	if err != nil {
		return err
	}
	defer db.Close()
	var plain int
	err = db.QueryRow(`SELECT (SELECT count(*) FROM sqlite_schema WHERE name = 'Packages' AND type = 'table' AND sql LIKE 'CREATE TABLE%')
		* (SELECT count(*) = 2 FROM pragma_table_xinfo('Packages') WHERE hidden = 0 AND name IN ('hnum', 'blob'))
		* (SELECT count(*) = 0 FROM pragma_table_xinfo('Packages') WHERE hidden <> 0)`).Scan(&plain)
	if err != nil {
		return err
	}
	if plain != 1 {
		return fmt.Errorf("not a package database: it has no table Packages as rpm makes it")
	}
	rows, err := db.Query("SELECT blob FROM Packages")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var blob sql.RawBytes
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		if err := header(blob); err != nil {
			return err
		}
	}
	return rows.Err()
}

// distinct ends when headers have more bytes than the files, or are too many: the pages of a hostile SQLite file may be one
// another's a million times. The other forms are checked for that beforehand.
func distinct(files []databaseFile, header func([]byte) error) func([]byte) error {
	left, headers := 0, maxPackages
	for _, f := range files {
		left += len(f.data)
	}
	return func(blob []byte) error {
		left, headers = left-len(blob), headers-1
		if left < 0 || headers < 0 {
			return damaged("packages that overlap, or more than %d", maxPackages)
		}
		return header(blob)
	}
}

// rpmHeader reads one header by the library, which reads files: it gets a database that holds this header alone.
func rpmHeader(at string, blob []byte) (p *rpmdb.PackageInfo, err error) {
	if err := checkHeader(blob); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("header: %v", r)
		}
	}()
	if err := os.WriteFile(at, singleNDB(blob), 0o600); err != nil {
		return nil, err
	}
	db, err := rpmdb.Open(at)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	all, err := db.ListPackages()
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d packages in one header", len(all))
	}
	return all[0], nil
}
