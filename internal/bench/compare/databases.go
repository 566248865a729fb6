package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"rebuilder/internal/inventory"
	"rebuilder/internal/patch"
)

func (c config) trivyCache() string { return filepath.Join(c.work, "trivy") }
func (c config) grypeCache() string { return filepath.Join(c.work, "grype") }

// platform is how the two scanners call an ecosystem.
type platform struct {
	family  string // type in package URLs
	trivy   string // the bucket
	grype   string // the ecosystem of packages
	format  string // Grype's word for the order of versions
	systems [][5]string
}

// platformOf knows the ecosystems of the images that are compared. Releases that no image has are left out.
func platformOf(ecosystem string) (platform, bool) {
	bare, release, _ := strings.Cut(ecosystem, ":")
	major, minor, _ := strings.Cut(strings.TrimPrefix(release, "v"), ".")
	switch bare {
	case "Debian":
		return platform{inventory.Deb, "debian " + major, "deb", "dpkg", [][5]string{{"debian", "debian", major, "", "bookworm"}}}, major == "12"
	case "Alpine":
		return platform{inventory.APK, "alpine " + major + "." + minor, "apk", "apk", [][5]string{{"alpine", "alpine", major, minor, ""}}}, true
	case "AlmaLinux": // Grype knows what is vulnerable from Red Hat, and what is fixed from AlmaLinux
		return platform{inventory.RPM, "alma " + major, "rpm", "rpm", [][5]string{{"redhat", "rhel", major, "", ""}, {"almalinux", "almalinux", major, "", ""}}}, major == "9"
	case "Go":
		return platform{inventory.Golang, "go::OSV", "go-module", "go", nil}, true
	case "Maven":
		return platform{inventory.Maven, "maven::OSV", "java-archive", "maven", nil}, true
	case "npm":
		return platform{inventory.NPM, "npm::OSV", "npm", "npm", nil}, true
	case "PyPI":
		return platform{inventory.PyPI, "pip::OSV", "python", "python", nil}, true
	}
	return platform{}, false
}

// each calls f for each package of each record, once for each vulnerability.
func each(records []record, f func(p platform, name, vulnerability string, versions []interval) error) error {
	for _, r := range records {
		for _, a := range r.Affected {
			p, ok := platformOf(a.Package.Ecosystem)
			versions := a.intervals()
			// Modules' packages have names of their own in both databases, and no image has any.
			if !ok || len(versions) == 0 || strings.Contains(versions[0].to, ".module") {
				continue
			}
			for _, v := range r.vulnerabilities() {
				if err := f(p, a.Package.Name, v, versions); err != nil {
					return fmt.Errorf("%s: %w", r.ID, err)
				}
			}
		}
	}
	return nil
}

// trivyAdvisory is Trivy's record of one vulnerability of one package.
type trivyAdvisory struct {
	FixedVersion       string   `json:",omitempty"` // of distributions
	VulnerableVersions []string `json:",omitempty"` // of libraries; an empty one is all
}

// writeTrivy writes a database for Trivy: buckets of ecosystems, in them buckets of packages, in them vulnerabilities.
func writeTrivy(cache string, records []record) error {
	dir := filepath.Join(cache, "db")
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	all := map[[3]string]trivyAdvisory{}
	_ = each(records, func(p platform, name, vulnerability string, versions []interval) error {
		if p.systems == nil && p.family != inventory.Golang {
			name = strings.ToLower(name)
		}
		key := [3]string{p.trivy, name, vulnerability}
		a := all[key]
		for _, v := range versions {
			if p.systems == nil {
				a.VulnerableVersions = append(a.VulnerableVersions, v.constraint())
			} else if order, err := patch.Compare(p.family, v.to, a.FixedVersion); a.FixedVersion == "" || err == nil && order > 0 {
				a.FixedVersion = v.to // of several, the one that fixes all
			}
		}
		all[key] = a
		return nil
	})
	db, err := bolt.Open(filepath.Join(dir, "trivy.db"), 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		vulnerabilities, err := tx.CreateBucketIfNotExists([]byte("vulnerability"))
		for key, a := range all {
			var bucket *bolt.Bucket
			if err == nil {
				bucket, err = tx.CreateBucketIfNotExists([]byte(key[0]))
			}
			if err == nil {
				bucket, err = bucket.CreateBucketIfNotExists([]byte(key[1]))
			}
			if err != nil {
				return err
			}
			data, err := json.Marshal(a)
			if err := errors.Join(err, bucket.Put([]byte(key[2]), data), vulnerabilities.Put([]byte(key[2]), []byte("{}"))); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close(), writeMetadata(dir, 2))
}

// writeMetadata writes the file beside each of Trivy's databases.
func writeMetadata(dir string, version int) error {
	now := time.Now().UTC()
	data, err := json.Marshal(map[string]any{"Version": version, "UpdatedAt": now, "DownloadedAt": now, "NextUpdate": now.AddDate(1, 0, 0)})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "metadata.json"), data, 0o600)
}

// writeJava writes an empty database of Java archives, without which Trivy looks into none.
func writeJava(cache string) error {
	dir := filepath.Join(cache, "java-db")
	path := filepath.Join(dir, "trivy-java.db")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	_, err = db.Exec(`CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
		CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT)`)
	return errors.Join(err, db.Close(), writeMetadata(dir, 1))
}

// grypeSchema are the tables of version 6 of Grype's database.
//
//go:embed grype.sql
var grypeSchema string

// writeGrype writes a database for Grype and has Grype take it.
func writeGrype(ctx context.Context, c config, records []record) error {
	path := filepath.Join(c.work, "vulnerability.db")
	if err := errors.Join(os.RemoveAll(path), os.RemoveAll(c.grypeCache())); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	err = fillGrype(ctx, db, records)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.program("grype"), "db", "import", path)
	cmd.Env = append(os.Environ(), "GRYPE_DB_CACHE_DIR="+c.grypeCache(), "GRYPE_CHECK_FOR_APP_UPDATE=false", "GRYPE_DB_AUTO_UPDATE=false")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("grype db import: %w: %s", err, said)
	}
	return nil
}

func fillGrype(ctx context.Context, db *sql.DB, records []record) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.Exec(grypeSchema); err != nil {
		return err
	}
	g := grypeWriter{tx: tx, ids: map[string]int64{}}
	err = each(records, g.add)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// grypeWriter inserts what was not inserted before.
type grypeWriter struct {
	tx  *sql.Tx
	ids map[string]int64
}

func (g grypeWriter) add(p platform, name, vulnerability string, versions []interval) error {
	_, err := g.insert("INSERT OR IGNORE INTO providers (id, version, processor) VALUES (?, '1', 'compare')", "osv")
	if err != nil {
		return err
	}
	about, err := g.blob(map[string]any{"id": vulnerability})
	if err != nil {
		return err
	}
	v, err := g.insert("INSERT INTO vulnerability_handles (name, status, provider_id, blob_id) VALUES (?, 'active', 'osv', ?)", vulnerability, about)
	if err != nil {
		return err
	}
	named, err := g.insert("INSERT INTO packages (ecosystem, name) VALUES (?, ?)", p.grype, name)
	if err != nil {
		return err
	}
	hit, err := g.blob(map[string]any{"ranges": grypeRanges(p.format, versions, interval.constraint)})
	if err != nil {
		return err
	}
	systems := p.systems
	if systems == nil {
		_, err = g.insert("INSERT INTO affected_package_handles (vulnerability_id, package_id, blob_id) VALUES (?, ?, ?)", v, named, hit)
		return err
	}
	for n, s := range systems {
		system, err := g.insert("INSERT INTO operating_systems (name, release_id, major_version, minor_version, codename, label_version, channel) VALUES (?, ?, ?, ?, ?, '', '')", s[0], s[1], s[2], s[3], s[4])
		if err != nil {
			return err
		}
		table, blob := "affected_package_handles", hit
		if n > 0 {
			if versions[0].to == "" {
				continue // nothing is fixed
			}
			table = "unaffected_package_handles"
			if blob, err = g.blob(map[string]any{"ranges": grypeRanges(p.format, versions, func(i interval) string { return ">= " + i.to })}); err != nil {
				return err
			}
		}
		if _, err := g.insert("INSERT INTO "+table+" (vulnerability_id, operating_system_id, package_id, blob_id) VALUES (?, ?, ?, ?)", v, system, named, blob); err != nil {
			return err
		}
	}
	return nil
}

// grypeRanges are intervals in Grype's words.
func grypeRanges(format string, versions []interval, constraint func(interval) string) (all []map[string]any) {
	for _, v := range versions {
		fix := map[string]string{"state": "not-fixed"}
		if v.to != "" && !v.last {
			fix = map[string]string{"state": "fixed", "version": v.to}
		}
		all = append(all, map[string]any{"version": map[string]string{"type": format, "constraint": constraint(v)}, "fix": fix})
	}
	return all
}

func (g grypeWriter) blob(value any) (int64, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return 0, err
	}
	return g.insert("INSERT INTO blobs (value) VALUES (?)", string(data))
}

func (g grypeWriter) insert(statement string, values ...any) (int64, error) {
	key := strings.ToLower(fmt.Sprintln(append([]any{statement}, values...)...)) // names of packages are unique in any case
	if id, ok := g.ids[key]; ok {
		return id, nil
	}
	result, err := g.tx.Exec(statement, values...)
	if err != nil {
		return 0, err
	}
	id, err := result.LastInsertId()
	g.ids[key] = id
	return id, err
}
