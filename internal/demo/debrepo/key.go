package debrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// openKey reads the signing key at path, or makes it.
func openKey(path, owner string) (*openpgp.Entity, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path, owner)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	keys, err := openpgp.ReadKeyRing(f)
	if err != nil {
		return nil, fmt.Errorf("read signing key %s: %w", path, err)
	}
	return keys[0], nil
}

func makeKey(path, owner string) (*openpgp.Entity, error) {
	key, err := openpgp.NewEntity(owner+" archive", "", "archive@"+owner+".invalid",
		&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	var b bytes.Buffer
	if err := key.SerializePrivate(&b, nil); err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	return key, os.Rename(tmp, path)
}

func clearSign(key *openpgp.Entity, data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, nil)
	if err != nil {
		return nil, fmt.Errorf("sign release: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("sign release: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sign release: %w", err)
	}
	return append(b.Bytes(), '\n'), nil
}
