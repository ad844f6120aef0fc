package rayrpc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/raypb"
)

// certificate makes a certificate for 127.0.0.1, signed by parent or by itself.
func certificate(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (tls.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "ray"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
		IsCA:                  parent == nil,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, key
}

// serveMutual serves a GCS that wants a client certificate as Ray's gRPC does:
// without one it closes the connection, and no alert says why.
func serveMutual(t *testing.T, leaf tls.Certificate, clients *x509.CertPool) (*grpc.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{leaf}, ClientAuth: tls.RequestClientCert, ClientCAs: clients,
		NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13,
	}
	s := grpc.NewServer()
	raypb.RegisterNodeInfoGcsServiceServer(s, nodeInfo{})
	go func() { _ = s.Serve(&mutualListener{Listener: l, config: config}) }()
	t.Cleanup(s.Stop)
	return s, l.Addr().String()
}

// mutualListener does the handshake and closes on clients without certificate.
type mutualListener struct {
	net.Listener
	config *tls.Config
}

func (l *mutualListener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := tls.Server(raw, l.config)
	if c.Handshake() == nil && len(c.ConnectionState().PeerCertificates) > 0 {
		return c, nil
	}
	_ = raw.Close()
	return closedConn{Conn: raw}, nil
}

// closedConn is a connection that is over.
type closedConn struct{ net.Conn }

func (closedConn) Read([]byte) (int, error) { return 0, io.EOF }
