package hygiene

import (
	"path"
	"slices"
	"strings"

	"rebuilder/internal/inventory"
	"rebuilder/internal/policy"
)

// usual have setuid or setgid bits in the smallest images of Debian, Red Hat and Alpine, and are looked after there. They
// are below /usr or not.
var usual = []string{
	"/bin/chage", "/bin/chfn", "/bin/chsh", "/bin/expiry", "/bin/gpasswd", "/bin/mount", "/bin/newgrp", "/bin/passwd",
	"/bin/su", "/bin/umount", "/bin/wall", "/bin/write", "/sbin/pam_timestamp_check", "/sbin/unix_chkpwd",
}

// setFiles finds files with the setuid or setgid bit that may not have it.
func setFiles(what string) func(*inventory.Inventory, Context) []policy.Finding {
	all := files(what, "a "+what+" file")
	return func(inv *inventory.Inventory, c Context) []policy.Finding {
		return slices.DeleteFunc(all(inv, c), func(f policy.Finding) bool {
			if len(c.AllowSetuid) == 0 {
				return slices.Contains(usual, strings.TrimPrefix(f.Path, "/usr"))
			}
			return like(c.AllowSetuid, f.Path)
		})
	}
}

// files finds files of one sort.
func files(what, title string) func(*inventory.Inventory, Context) []policy.Finding {
	return func(inv *inventory.Inventory, _ Context) []policy.Finding {
		var found []policy.Finding
		for _, f := range inv.Files {
			if f.What == what {
				found = append(found, policy.Finding{Title: f.Path + ": " + title, Path: f.Path, Layer: f.Layer})
			}
		}
		return found
	}
}

func noPassword(inv *inventory.Inventory, _ Context) []policy.Finding {
	var found []policy.Finding
	for _, f := range inv.Files {
		if f.What == inventory.Account {
			found = append(found, policy.Finding{Title: "the account " + f.Detail + " has no password", Path: f.Path, Layer: f.Layer})
		}
	}
	return found
}

// like says that a name is one of the patterns or matches one.
func like(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return p == name || ok && err == nil
	})
}
