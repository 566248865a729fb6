package inventory

import "strings"

// osRelease reads /etc/os-release, or the vendor's copy. What is missing stays empty.
func osRelease(t *tree) OS {
	data := t.content("/etc/os-release")
	if data == nil {
		data = t.content("/usr/lib/os-release")
	}
	var os OS
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			os.ID = value
		case "VERSION_ID":
			os.Version = value
		case "VERSION_CODENAME":
			os.Codename = value
		}
	}
	return os
}
