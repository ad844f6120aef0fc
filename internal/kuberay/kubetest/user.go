//go:build unix

package kubetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"
)

// User is someone whom the server knows, by a token or by a certificate.
type User struct {
	Name string
	// Token is a bearer token, or "".
	Token string
	// Certificate and Key are a client certificate and its key (PEM), or "".
	Certificate, Key string
	// Kubeconfig is a file with which the user reaches the server.
	Kubeconfig string
}

// Rule allows verbs on resources, in the words of a Kubernetes PolicyRule.
type Rule struct {
	APIGroups     []string `json:"apiGroups"`
	Resources     []string `json:"resources"`
	ResourceNames []string `json:"resourceNames,omitempty"`
	Verbs         []string `json:"verbs"`
}

// Account makes a service account with a token, as pods and CI systems have one,
// that may do in its namespace what the rules say and nothing else. For an account
// that exists the rules take the place of those before, at once.
func (s *Server) Account(ctx context.Context, namespace, name string, rules ...Rule) (User, error) {
	meta := Object{"name": name, "namespace": namespace}
	core, rbac := "/api/v1/namespaces/"+namespace, "/apis/rbac.authorization.k8s.io/v1/namespaces/"+namespace
	if rules == nil {
		rules = []Rule{}
	}
	account := Object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
	role := Object{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}
	binding := Object{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
		"roleRef":  Object{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
		"subjects": []Object{{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
	}
	if err := s.apply(ctx, core+"/serviceaccounts/"+name, account); err != nil {
		return User{}, err
	}
	if err := s.apply(ctx, rbac+"/roles/"+name, role); err != nil {
		return User{}, err
	}
	if err := s.apply(ctx, rbac+"/rolebindings/"+name, binding); err != nil {
		return User{}, err
	}
	var answer struct{ Status struct{ Token string } }
	request := Object{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": Object{"expirationSeconds": 7200}}
	if err := s.Do(ctx, Request{Method: http.MethodPost, Path: core + "/serviceaccounts/" + name + "/token", Body: request}, &answer); err != nil {
		return User{}, err
	}
	return s.kubeconfig(User{Name: "system:serviceaccount:" + namespace + ":" + name, Token: answer.Status.Token})
}

// Certificate makes a user with a client certificate and without a token. A member
// of the group system:masters may do everything.
func (s *Server) Certificate(name string, groups ...string) (User, error) {
	cert, key, err := s.issuer.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return User{}, err
	}
	return s.kubeconfig(User{Name: name, Certificate: string(cert), Key: string(key)})
}

// kubeconfig writes the user's.
func (s *Server) kubeconfig(u User) (User, error) {
	user := Object{}
	if u.Token != "" {
		user["token"] = u.Token
	}
	if u.Certificate != "" {
		user["client-certificate-data"], user["client-key-data"] = []byte(u.Certificate), []byte(u.Key)
	}
	// JSON is YAML; a []byte becomes base64.
	text, err := json.MarshalIndent(Object{
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []Object{{"name": "test", "cluster": Object{"server": s.URL, "certificate-authority-data": []byte(s.CA)}}},
		"contexts": []Object{{"name": "test", "context": Object{"cluster": "test", "user": u.Name}}},
		"users":    []Object{{"name": u.Name, "user": user}},
	}, "", "  ")
	if err != nil {
		return u, err
	}
	f, err := os.CreateTemp(s.Dir, "kubeconfig-*.yaml")
	if err != nil {
		return u, err
	}
	u.Kubeconfig = f.Name()
	_, err = f.Write(text)
	return u, errors.Join(err, f.Close())
}

// makeCredentials writes the server's certificate, the admin's token and the key
// that signs the tokens of service accounts, and makes the client.
func (s *Server) makeCredentials() error {
	issuer, err := newAuthority()
	if err != nil {
		return err
	}
	s.issuer, s.CA, s.CAFile = issuer, string(issuer.pem), s.file("ca.crt")
	cert, key, err := issuer.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	accounts, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.Admin = User{Name: "admin", Token: rand.Text()}
	for name, text := range map[string][]byte{
		"ca.crt": issuer.pem, "server.crt": cert, "server.key": key,
		"accounts.key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(accounts)}),
		"tokens.csv":   []byte(s.Admin.Token + ",admin,admin,system:masters\n"),
	} {
		if err := os.WriteFile(s.file(name), text, 0o600); err != nil {
			return err
		}
	}
	s.client = s.newClient()
	return nil
}

// newClient makes a client that trusts the server and goes through no proxy.
func (s *Server) newClient(certificates ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(s.issuer.cert)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates}, ForceAttemptHTTP2: true,
		DisableKeepAlives: len(certificates) > 0, // nobody closes it
	}}
}

// clientFor is the shared one, except for those who show a certificate.
func (s *Server) clientFor(u User) (*http.Client, error) {
	if u.Certificate == "" {
		return s.client, nil
	}
	certificate, err := tls.X509KeyPair([]byte(u.Certificate), []byte(u.Key))
	return s.newClient(certificate), err
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kubetest"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, SerialNumber: big.NewInt(1),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

// issue makes a key and a certificate for it like template, valid for a day.
func (a *authority) issue(template *x509.Certificate) (cert, key []byte, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore, template.NotAfter = a.cert.NotBefore, a.cert.NotAfter
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, own.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}
