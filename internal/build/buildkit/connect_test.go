package buildkit_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rebuilder/internal/build"
	"rebuilder/internal/build/buildkit"
)

// dialStdio, in the environment, names the socket to which this program passes its input, and from which its output comes,
// as "buildctl dial-stdio" does; dialArgs the file to which it writes its arguments.
const dialStdio, dialArgs = "TEST_DIAL_STDIO", "TEST_DIAL_ARGS"

func forward(socket string) error {
	if err := os.WriteFile(os.Getenv(dialArgs), []byte(strings.Join(os.Args[1:], " ")), 0o600); err != nil {
		return err
	}
	c, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(c, os.Stdin)
		c.Close()
	}()
	_, err = io.Copy(os.Stdout, c)
	return err
}

// TestHelpers builds over programs in place of ssh, kubectl and docker.
func TestHelpers(t *testing.T) {
	w := openWorld(t)
	for program, tt := range map[string]struct{ address, args string }{
		"ssh":     {"ssh://ci@worker:2222/run/buildkitd.sock", "-l ci -p 2222 -- worker buildctl --addr unix:///run/buildkitd.sock dial-stdio"},
		"kubectl": {"kube-pod://builder-0?namespace=ci&container=buildkitd", "--context= --namespace=ci exec --container=buildkitd -i builder-0 -- buildctl dial-stdio"},
		"docker":  {"docker-container://builder", "exec -i builder buildctl dial-stdio"},
	} {
		t.Run(program, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if _, err := buildkit.Open(t.Context(), buildkit.Config{Address: tt.address}); err == nil || !strings.Contains(err.Error(), "needs the program "+program) {
				t.Errorf("without the program: %v", err)
			}
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(self, filepath.Join(dir, program)); err != nil {
				t.Fatal(err)
			}
			t.Setenv(dialArgs, filepath.Join(dir, "args"))
			t.Setenv(dialStdio, filepath.Join(dir, "nobody.sock"))
			if _, err := buildkit.Open(t.Context(), buildkit.Config{Address: tt.address}); err == nil || !strings.Contains(err.Error(), "nobody.sock") {
				t.Errorf("nobody at the other end: %v, want what the program says", err)
			}
			t.Setenv(dialStdio, strings.TrimPrefix(w.engine.Address(), "unix://"))
			e, err := buildkit.Open(t.Context(), buildkit.Config{Address: tt.address})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, err := e.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo "+program+"\n"))); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "args")); err != nil || string(got) != tt.args {
				t.Errorf("%s %s, want %s (%v)", program, got, tt.args, err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "text", "no certificate\n")
	text := filepath.Join(dir, "text")
	for address, tt := range map[string]struct {
		tls  buildkit.TLS
		want string
	}{
		"what://host":       {want: "no address of a builder: unix, tcp, ssh, kube-pod and docker-container ones are"},
		"/run/buildkitd":    {want: "no address of a builder"},
		"unix://":           {want: "names no socket"},
		"unix://run/s.sock": {want: "names no socket"},
		"tcp://host":        {want: "needs a host and a port"},
		"unix:///run/s":     {buildkit.TLS{CA: text}, "certificates are for tcp addresses"},
		"tcp://h:1":         {buildkit.TLS{CA: filepath.Join(dir, "missing")}, "missing: no such file"},
		"tcp://h:2":         {buildkit.TLS{CA: text}, "text holds no certificate"},
		"tcp://h:3":         {buildkit.TLS{Cert: text}, "has no key"},
		"tcp://h:4":         {buildkit.TLS{Key: text}, "has no certificate"},
		"tcp://h:5":         {buildkit.TLS{Cert: text, Key: text}, "failed to find any PEM data"},
	} {
		t.Run(address, func(t *testing.T) {
			_, err := buildkit.Open(t.Context(), buildkit.Config{Address: address, TLS: tt.tls})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestTLS reaches an engine that asks for certificates.
func TestTLS(t *testing.T) {
	w := openWorld(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	server := ours.issue(t, "worker", time.Now().Add(time.Hour))
	client := ours.issue(t, "daemon", time.Now().Add(time.Hour))
	stranger := theirs.issue(t, "daemon", time.Now().Add(time.Hour))
	expired := ours.issue(t, "daemon", time.Now().Add(-time.Minute))
	address := "tcp://" + tlsProxy(t, strings.TrimPrefix(w.engine.Address(), "unix://"), server, ours)
	plain := "tcp://" + plainProxy(t, strings.TrimPrefix(w.engine.Address(), "unix://"))

	good := buildkit.TLS{CA: ours.file, Cert: client.cert, Key: client.key, ServerName: "worker"}
	e, err := buildkit.Open(t.Context(), buildkit.Config{Address: address, TLS: good})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo tls\n"))); err != nil {
		t.Error(err)
	}

	with := func(change func(*buildkit.TLS)) buildkit.TLS {
		c := good
		change(&c)
		return c
	}
	for what, tt := range map[string]struct {
		address string
		tls     buildkit.TLS
		want    string
	}{
		"no certificate of ours":    {address, with(func(c *buildkit.TLS) { c.Cert, c.Key = "", "" }), "it wants a certificate of ours"},
		"one of another authority":  {address, with(func(c *buildkit.TLS) { c.Cert, c.Key = stranger.cert, stranger.key }), "it does not know the authority of our certificate: check cert"},
		"one that has expired":      {address, with(func(c *buildkit.TLS) { c.Cert, c.Key = expired.cert, expired.key }), "our certificate has expired: renew cert"},
		"theirs of another one":     {address, with(func(c *buildkit.TLS) { c.CA = theirs.file }), "its certificate is not of the authority in ca"},
		"theirs, by the system's":   {address, with(func(c *buildkit.TLS) { c.CA = "" }), "its certificate is not of the authority in ca"},
		"theirs for another name":   {address, with(func(c *buildkit.TLS) { c.ServerName = "other" }), "its certificate is for another name: set server_name"},
		"the name of the address":   {address, with(func(c *buildkit.TLS) { c.ServerName = "" }), "set server_name"},
		"plain to one that asks":    {address, buildkit.TLS{}, "it may speak TLS: set ca, cert and key"},
		"certificates to plain one": {plain, good, "it does not speak TLS: leave out ca, cert and key"},
	} {
		t.Run(what, func(t *testing.T) {
			e, err := buildkit.Open(t.Context(), buildkit.Config{Address: tt.address, TLS: tt.tls})
			if err == nil {
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("plain to plain", func(t *testing.T) {
		e, err := buildkit.Open(t.Context(), buildkit.Config{Address: plain})
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
	})
	t.Run("as a worker of a pool", func(t *testing.T) {
		p, err := buildkit.OpenPool(t.Context(), buildkit.PoolConfig{Workers: []buildkit.WorkerConfig{
			{Name: "good", Address: address, TLS: good}, {Name: "bad", Address: address, TLS: buildkit.TLS{CA: ours.file, ServerName: "worker"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		res, err := p.Build(t.Context(), w.request(w.context(t, "FROM REG/base/busybox:1\nRUN echo pool\n")))
		if err != nil || res.Worker != "good" {
			t.Errorf("%+v, %v", res, err)
		}
		if s := p.State()[0]; s.Name != "bad" || s.State != "lost" || !strings.Contains(s.Why, "check cert and key") {
			t.Errorf("%+v", s)
		}
	})
}

var _ build.Builder = (*buildkit.Pool)(nil)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

// issued are the files of a certificate.
type issued struct{ cert, key string }

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &authority{c, key, writePEM(t, "CERTIFICATE", der)}
}

func (a *authority) issue(t *testing.T, name string, until time.Time) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return issued{writePEM(t, "CERTIFICATE", der), writePEM(t, "PRIVATE KEY", private)}
}

func writePEM(t *testing.T, kind string, der []byte) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(f, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// tlsProxy stands before a socket, and lets in who has a certificate of the authority.
func tlsProxy(t *testing.T, socket string, server issued, clients *authority) (host string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(server.cert, server.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(clients.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, NextProtos: []string{"h2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return proxy(t, l, socket)
}

func plainProxy(t *testing.T, socket string) (host string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return proxy(t, l, socket)
}

func proxy(t *testing.T, l net.Listener, socket string) (host string) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go pass(c, socket)
		}
	}()
	return l.Addr().String()
}

func pass(c net.Conn, socket string) {
	defer c.Close()
	if s, ok := c.(*tls.Conn); ok && s.Handshake() != nil {
		return
	}
	to, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, c)
		to.Close()
	}()
	_, _ = io.Copy(c, to)
}
