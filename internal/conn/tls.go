package conn

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// config makes the settings of crypto/tls; nil is the system's trust and no
// client certificate.
func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.InsecureSkipVerify}
	if t.CACert != "" {
		pem, err := pemOrFile("ca_cert", t.CACert)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, tlsError("read tls.ca_cert", "it holds no PEM certificate", nil)
		}
	}
	switch {
	case t.ClientCert == "" && t.ClientKey == "":
		return cfg, nil
	case t.ClientCert == "" || t.ClientKey == "":
		return nil, tlsError("use tls.client_cert and tls.client_key", "one needs the other", nil)
	}
	cert, err := pemOrFile("client_cert", t.ClientCert)
	if err != nil {
		return nil, err
	}
	key, err := pemOrFile("client_key", t.ClientKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, tlsError("use tls.client_cert and tls.client_key", err.Error(), err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}

// pemOrFile tells PEM from a path by its first line, which no path holds.
func pemOrFile(name, v string) ([]byte, error) {
	if strings.Contains(v, "-----BEGIN") {
		return []byte(v), nil
	}
	if strings.ContainsAny(v, "\n\r") {
		return nil, tlsError("read tls."+name, "it is neither PEM nor the path of a PEM file", nil)
	}
	b, err := os.ReadFile(v)
	if err != nil {
		return nil, tlsError("read tls."+name, fmt.Sprintf("it is neither PEM nor a file that can be read: %v", err), err)
	}
	return b, nil
}

func tlsError(op, msg string, err error) error {
	return &ray.Error{Kind: ray.KindInvalid, Op: op, Message: msg, Err: err}
}
