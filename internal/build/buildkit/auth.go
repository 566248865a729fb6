package buildkit

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// auth gives the engine the registries' credentials, for one build, by session.
func (e *Engine) auth() []session.Attachable {
	if e.config.Keychain == nil {
		return nil
	}
	return []session.Attachable{&credentials{keychain: e.config.Keychain}}
}

// credentials answers the engine from a keychain. Tokens are the engine's business: it falls back to Credentials
// when the three token methods are unavailable.
type credentials struct {
	auth.UnimplementedAuthServer
	keychain authn.Keychain
}

func (c *credentials) Register(s *grpc.Server) { auth.RegisterAuthServer(s, c) }

func (c *credentials) Credentials(ctx context.Context, r *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	host := r.Host
	if host == "registry-1.docker.io" {
		host = name.DefaultRegistry
	}
	reg, err := name.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	found, err := authn.Resolve(ctx, c.keychain, reg)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", r.Host, err)
	}
	cfg, err := authn.Authorization(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("credentials of %s: %w", r.Host, err)
	}
	if cfg.IdentityToken != "" { // an empty user name says that the secret is a token
		return &auth.CredentialsResponse{Secret: cfg.IdentityToken}, nil
	}
	return &auth.CredentialsResponse{Username: cfg.Username, Secret: cfg.Password}, nil
}

func (*credentials) FetchToken(context.Context, *auth.FetchTokenRequest) (*auth.FetchTokenResponse, error) {
	return nil, errEngineTokens()
}

func (*credentials) GetTokenAuthority(context.Context, *auth.GetTokenAuthorityRequest) (*auth.GetTokenAuthorityResponse, error) {
	return nil, errEngineTokens()
}

func (*credentials) VerifyTokenAuthority(context.Context, *auth.VerifyTokenAuthorityRequest) (*auth.VerifyTokenAuthorityResponse, error) {
	return nil, errEngineTokens()
}

func errEngineTokens() error {
	return status.Error(codes.Unavailable, "the engine fetches tokens itself")
}
