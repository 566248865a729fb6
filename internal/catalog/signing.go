package catalog

import (
	"cmp"
	"net/url"
	"strings"
)

// Signing says with which key digests, and what is said of them, are signed. [signing] Its zero value signs nothing.
type Signing struct {
	// One of the two: a key file, absolute, or a key that never leaves where it is kept, "hashivault://release".
	Key, KMS string
	// Where the password of an encrypted key file is: one of the two, or neither.
	PasswordEnv, PasswordFile string
	// Verify has bases stand only on those of ours that this key signed.
	Verify bool
	// Builder is what provenance calls this builder, a URI; default "urn:rebuilder:builder".
	Builder string
}

// On says that there is a key.
func (s Signing) On() bool { return s.Key != "" || s.KMS != "" }

// Verification says which signature an image must have before it is built upon. Its zero value asks for none.
type Verification struct {
	Key string // file with the public key, absolute
}

const usualBuilder = "urn:rebuilder:builder"

func (r *reader) signing(t *table) Signing {
	s := Signing{
		Key: t.text("key"), KMS: t.text("kms"),
		PasswordEnv: r.variable(t, "password_env"), PasswordFile: t.text("password_file"),
		Verify: t.boolean("verify", false), Builder: cmp.Or(t.text("builder"), usualBuilder),
	}
	t.end()
	for _, key := range []string{"password_env", "password_file"} {
		if t.has(key) && !t.has("key") {
			t.wrong(key, `add the key that it is for, such as key = "secrets/cosign.key", or remove the line`, ": %s is for an encrypted key file, and there is none", key)
		}
	}
	switch {
	case t.has("key") && t.has("kms"):
		t.wrong("kms", "keep the one that you use", ": both key and kms are given")
	case s.KMS != "" && !isURI(s.KMS):
		t.wrong("kms", `such as "hashivault://release"; a file is a key`, ": kms = %q is not the URI of a key", s.KMS)
	case s.Verify && !s.On():
		t.wrong("verify", `add a key, such as key = "secrets/cosign.key", or remove the line`, ": verify asks for signatures of a key that is not named")
	}
	if t.has("password_env") && t.has("password_file") {
		t.wrong("password_file", "keep the one that you use", ": both password_env and password_file are given")
	}
	if u, err := url.Parse(s.Builder); err != nil || u.Scheme == "" {
		t.wrong("builder", `such as "https://rebuilder.example.com"`, ": builder = %q is not a URI", s.Builder)
	}
	for _, file := range []*string{&s.Key, &s.PasswordFile} {
		if *file != "" {
			*file = r.absolute(*file)
		}
	}
	return s
}

func isURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, "://")
	return ok && scheme != "" && rest != ""
}

// verification reads verify = { key = "..." } of an entry.
func (r *reader) verification(t *table) Verification {
	given, ok := t.get("verify")
	if !ok {
		return Verification{}
	}
	data, ok := given.(map[string]any)
	if !ok {
		t.wrong("verify", `write it as verify = { key = "keys/debian.pub" }, with the public key of whoever signs it`, ": verify must be a table, not %s", kindOf(given))
		return Verification{}
	}
	s := &table{notes: t.notes, name: "verify of " + t.name, path: t.path + ".verify", data: data, at: t.at.of("verify"), accepted: t.accepted}
	v := Verification{Key: s.need("key", "keys/debian.pub")}
	s.end()
	if v.Key != "" {
		v.Key = r.absolute(v.Key)
	}
	return v
}
