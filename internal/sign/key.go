package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	_ "github.com/sigstore/sigstore/pkg/signature/kms/hashivault" // hashivault://name; others are programs, sigstore-kms-<name>
	"github.com/sigstore/sigstore/pkg/signature/options"
)

const maxKeyFile = 64 << 10 // bytes; a key of 16,384 bits has 13 KB

// KeyConfig says where a private key is: one of the two.
type KeyConfig struct {
	// File is a PEM file: a cosign key pair's private half, or PKCS #8, PKCS #1 or SEC 1, encrypted or not.
	File string
	// KMS names a key that never leaves where it is kept: "hashivault://release". Whatever else stands before "://" is asked
	// of the program sigstore-kms-<that> in PATH.
	KMS string
	// Password returns the password of an encrypted file; nil: there is none.
	Password func() ([]byte, error)
}

// Key is a private key that signs. It is safe for concurrent use.
type Key struct {
	signer signature.Signer
	public *PublicKey
}

// OpenKey reads a key file, or asks the KMS for the key's public half.
func OpenKey(ctx context.Context, c KeyConfig) (*Key, error) {
	if c.KMS != "" {
		return openKMS(ctx, c.KMS)
	}
	private, err := readPrivate(c)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", c.File, err)
	}
	signer, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w: cosign generate-key-pair makes one that serves", c.File, err)
	}
	return newKey(signer)
}

func openKMS(ctx context.Context, uri string) (*Key, error) {
	signer, err := kms.Get(ctx, uri, crypto.SHA256)
	var unknown *kms.ProviderNotFoundError
	if errors.As(err, &unknown) {
		scheme, _, _ := strings.Cut(uri, "://")
		return nil, fmt.Errorf("signing key %s: nobody here knows %s://: hashivault:// is built in, any other needs the program sigstore-kms-%s in PATH", uri, scheme, scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", uri, err)
	}
	k, err := newKey(signer)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", uri, err)
	}
	return k, nil
}

func newKey(signer signature.Signer) (*Key, error) {
	key, err := signer.PublicKey()
	if err != nil {
		return nil, err
	}
	public, err := newPublicKey(key)
	return &Key{signer, public}, err
}

func readPrivate(c KeyConfig) (crypto.PrivateKey, error) {
	text, err := readBounded(c.File)
	if err != nil {
		return nil, err
	}
	asked := false
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(text, func(bool) ([]byte, error) {
		asked = true
		if c.Password == nil {
			return nil, errors.New("it is encrypted, and no password is given: name one with password_env or password_file")
		}
		return c.Password()
	})
	switch {
	case err == nil:
		return private, nil
	case asked && c.Password != nil:
		return nil, fmt.Errorf("it cannot be decrypted, most likely because its password is another: %w", err)
	case asked:
		return nil, err
	}
	return nil, fmt.Errorf("%w: want a private key in PEM, such as cosign generate-key-pair writes", err)
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("it has more than %d bytes: this is no key", maxKeyFile)
	}
	return text, err
}

// Public is the half that others verify with.
func (k *Key) Public() *PublicKey { return k.public }

// sign signs a message. A KMS gets its hash alone, and may have another key by now: nothing leaves that our own public half
// does not verify.
func (k *Key) sign(ctx context.Context, message []byte) ([]byte, error) {
	signed, err := k.signer.SignMessage(bytes.NewReader(message), options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", k.public.ID, err)
	}
	if err := k.public.verify(message, signed); err != nil {
		return nil, fmt.Errorf("sign with key %s: what came back is not that key's: %w: if the key was replaced where it is kept, start again and publish its new public half", k.public.ID, err)
	}
	return signed, nil
}

// PublicKey verifies what its private half signed.
type PublicKey struct {
	ID       string // the SHA-256 of the key's DER form: "sha256:1a2b.."
	PEM      []byte
	verifier signature.Verifier
}

// ReadPublicKey reads a public key from a PEM file, such as cosign.pub.
func ReadPublicKey(file string) (*PublicKey, error) {
	text, err := readBounded(file)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", file, err)
	}
	k, err := ParsePublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", file, err)
	}
	return k, nil
}

// ParsePublicKey reads a public key in PEM.
func ParsePublicKey(text []byte) (*PublicKey, error) {
	key, err := cryptoutils.UnmarshalPEMToPublicKey(text)
	if err != nil {
		return nil, fmt.Errorf("%w: want a public key in PEM, such as cosign public-key writes", err)
	}
	return newPublicKey(key)
}

func newPublicKey(key crypto.PublicKey) (*PublicKey, error) {
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	der, err := cryptoutils.MarshalPublicKeyToDER(key)
	if err != nil {
		return nil, err
	}
	text, err := cryptoutils.MarshalPublicKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &PublicKey{ID: "sha256:" + hex.EncodeToString(sum[:]), PEM: text, verifier: verifier}, nil
}

// verify says whether a signature over a message was made with this key's private half.
func (k *PublicKey) verify(message, signed []byte) error {
	return k.verifier.VerifySignature(bytes.NewReader(signed), bytes.NewReader(message))
}
