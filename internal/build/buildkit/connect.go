package buildkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer" // docker-container://
	_ "github.com/moby/buildkit/client/connhelper/kubepod"         // kube-pod://
	_ "github.com/moby/buildkit/client/connhelper/ssh"             // ssh://
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// TLS is how a buildkitd at a tcp address and we prove to each other who we are. With any field set the connection is
// encrypted and the other's certificate verified.
type TLS struct {
	CA         string // file with the authority of its certificate; default the system's authorities
	Cert, Key  string // files with our own certificate and key; it may ask for none
	ServerName string // that its certificate is for; default the address's host
}

// helpers are the programs that reach the addresses of a scheme. Each runs "buildctl dial-stdio" at the other end.
var helpers = map[string]string{"ssh": "ssh", "kube-pod": "kubectl", "docker-container": "docker"}

// checkAddress says what is wrong with an address, before anything is tried.
func checkAddress(address string, t TLS) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if t != (TLS{}) && u.Scheme != "tcp" {
		return fmt.Errorf("%s: certificates are for tcp addresses", address)
	}
	if program, ok := helpers[u.Scheme]; ok {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s needs the program %s, which is not in PATH", address, program)
		}
		return nil
	}
	switch u.Scheme {
	case "unix":
		if u.Path == "" || u.Host != "" {
			return fmt.Errorf("%s names no socket: unix:///run/buildkit/buildkitd.sock", address)
		}
		return nil
	case "tcp":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return fmt.Errorf("%s needs a host and a port: tcp://host:1234", address)
		}
		return t.check()
	}
	return fmt.Errorf("%s is no address of a builder: unix, tcp, ssh, kube-pod and docker-container ones are", address)
}

// check reads the files, so that errors name them.
func (t TLS) check() error {
	if t.CA != "" {
		b, err := os.ReadFile(t.CA)
		if err != nil {
			return fmt.Errorf("certificate authority: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			return fmt.Errorf("%s holds no certificate in PEM form", t.CA)
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return nil
	case t.Key == "":
		return fmt.Errorf("certificate %s has no key: set both", t.Cert)
	case t.Cert == "":
		return fmt.Errorf("key %s has no certificate: set both", t.Key)
	}
	if _, err := tls.LoadX509KeyPair(t.Cert, t.Key); err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", t.Cert, t.Key, err)
	}
	return nil
}

// dial makes a client, which connects when it is first used.
func dial(ctx context.Context, address string, t TLS) (*client.Client, error) {
	if err := checkAddress(address, t); err != nil {
		return nil, err
	}
	opts := append(t.options(address), client.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		MinConnectTimeout: pingTimeout,
	})))
	return client.New(ctx, address, opts...)
}

func (t TLS) options(address string) []client.ClientOpt {
	if t == (TLS{}) {
		return nil
	}
	if u, err := url.Parse(address); err == nil && t.ServerName == "" {
		t.ServerName = u.Hostname()
	}
	server := client.WithServerConfig(t.ServerName, t.CA)
	if t.CA == "" {
		server = client.WithServerConfigSystem(t.ServerName)
	}
	return []client.ClientOpt{server, client.WithCredentials(t.Cert, t.Key)}
}

// probe greets a tcp address as the client does, and says why it is not let in. The client itself often does not know:
// it is refused after it was greeted, and may see a broken pipe before it sees the reason.
func (t TLS) probe(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	cfg := &tls.Config{ServerName: t.ServerName, NextProtos: []string{"h2"}}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return err
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(pem)
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	c, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetReadDeadline(deadline) // without it the read ends with the other's patience
	}
	_, err = c.Read(make([]byte, 1)) // the first word is the server's
	return err
}

// explain adds the way out to an error of a connection. What went wrong is only in its text.
func explain(err error) error {
	for _, known := range []struct{ text, hint string }{
		{"tls: certificate required", "it wants a certificate of ours, of an authority that it knows: check cert and key"},
		{"tls: unknown certificate authority", "it does not know the authority of our certificate: check cert"},
		{"tls: bad certificate", "it does not take our certificate: check cert"},
		{"tls: expired certificate", "our certificate has expired: renew cert"},
		{"certificate signed by unknown authority", "its certificate is not of the authority in ca"},
		{"x509: certificate is valid for", "its certificate is for another name: set server_name"},
		{"x509: cannot validate certificate for", "its certificate is for another name: set server_name"},
		{"x509: certificate has expired", "its certificate has expired"},
		{"first record does not look like a TLS handshake", "it does not speak TLS: leave out ca, cert and key"},
		{"error reading server preface", "it may speak TLS: set ca, cert and key"},
	} {
		if strings.Contains(err.Error(), known.text) {
			return fmt.Errorf("%s (%w)", known.hint, err)
		}
	}
	return err
}
