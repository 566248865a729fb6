package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"

	"rebuilder/internal/catalog"
	"rebuilder/internal/registry"
	"rebuilder/internal/sign"
)

func newSigning(env func(string) string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signing",
		Short: "The key that promoted images are signed with; needs no daemon",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newSigningKey(env), newSigningSign(env))
	return cmd
}

func newSigningKey(env func(string) string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Print the public key that others verify with",
		Long: `Print the public half of the key of [signing], in PEM. It is asked of the key file, or of the KMS, so it also shows whether the
daemon can sign: run it with the daemon's environment.`,
		Example: `  rebuilder signing key > cosign.pub
  cosign verify --key cosign.pub --private-infrastructure registry.example.com/base/debian:stable`,
		Args: wants(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := catalog.Load(file)
			if err != nil {
				return err
			}
			key, err := signingKey(cmd.Context(), c, env)
			if err != nil {
				return err
			}
			if key == nil {
				return notSigning(file)
			}
			_, err = cmd.OutOrStdout().Write(key.Public().PEM)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "catalog", "catalog.toml", "the catalog")
	return cmd
}

func newSigningSign(env func(string) string) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "sign [BASE...]",
		Short: "Sign what the channels of bases point to now",
		Long: `Sign what the channels of the bases named point to now, or those of all bases of the catalog. It is for what was promoted before
there was a key, or with another one: with verify = true in [signing] nothing is built on a base that is not signed. What is
signed already is left as it is. Look first at what is there: a signature says that you answer for it.`,
		Example: "  rebuilder signing sign base/debian",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := catalog.Load(file)
			if err != nil {
				return err
			}
			return signChannels(cmd, c, args, env)
		},
	}
	cmd.Flags().StringVar(&file, "catalog", "catalog.toml", "the catalog")
	return cmd
}

func signChannels(cmd *cobra.Command, c *catalog.Catalog, names []string, env func(string) string) error {
	bases, err := basesNamed(c, names)
	if err != nil {
		return err
	}
	key, err := signingKey(cmd.Context(), c, env)
	if err != nil {
		return err
	}
	if key == nil {
		return notSigning(c.File)
	}
	reg, err := registry.New(registry.Config{Insecure: insecure(c), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for _, b := range bases {
		if err := signChannel(cmd, sign.New(key, reg), reg, b); err != nil {
			return err
		}
	}
	return nil
}

func signChannel(cmd *cobra.Command, signer *sign.Signer, reg *registry.Client, b catalog.Base) error {
	digest, err := reg.Digest(cmd.Context(), b.Reference())
	if err != nil {
		return err
	}
	if digest == (v1.Hash{}) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: nothing there yet\n", b.Reference())
		return nil
	}
	if err := signer.Sign(cmd.Context(), b.Image+"@"+digest.String()); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s is signed\n", b.Reference(), digest)
	return nil
}

func basesNamed(c *catalog.Catalog, names []string) ([]catalog.Base, error) {
	if len(names) == 0 {
		return c.Bases, nil
	}
	var out []catalog.Base
	for _, name := range names {
		n := len(out)
		for _, b := range c.Bases {
			if b.Name == name {
				out = append(out, b)
			}
		}
		if len(out) == n {
			return nil, hint(fmt.Errorf("%s has no base %q", c.File, name), "its bases are those of [[base]] name = ..")
		}
	}
	return out, nil
}

func notSigning(file string) error {
	return hint(fmt.Errorf("%s names no key to sign with", file), "make one: cosign generate-key-pair\nand name it: [signing] key = \"cosign.key\"")
}

// signingKey opens the key of [signing]; nil when there is none.
func signingKey(ctx context.Context, c *catalog.Catalog, env func(string) string) (*sign.Key, error) {
	s := c.Signing
	if !s.On() {
		return nil, nil
	}
	k := sign.KeyConfig{File: s.Key, KMS: s.KMS}
	switch {
	case s.PasswordEnv != "":
		k.Password = func() ([]byte, error) {
			if v := env(s.PasswordEnv); v != "" {
				return []byte(v), nil
			}
			return nil, fmt.Errorf("the environment variable %s is not set ([signing] password_env)", s.PasswordEnv)
		}
	case s.PasswordFile != "":
		k.Password = func() ([]byte, error) {
			b, err := os.ReadFile(s.PasswordFile)
			if err == nil && len(b) == 0 {
				err = errors.New("it is empty")
			}
			if err != nil {
				return nil, fmt.Errorf("password of the key ([signing] password_file): %w", err)
			}
			return []byte(strings.TrimRight(string(b), "\r\n")), nil
		}
	}
	return sign.OpenKey(ctx, k)
}
