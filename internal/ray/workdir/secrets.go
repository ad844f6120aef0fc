package workdir

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
)

// secretNames are files that hold secrets by what they are called.
var secretNames = []string{
	".env", ".env.*", ".netrc", "_netrc", ".pgpass", ".git-credentials", ".npmrc", ".pypirc", ".htpasswd",
	"id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.p12", "*.pfx", "*.jks", "*.kdbx",
	"credentials", "credentials.json", "application_default_credentials.json", "service-account*.json", "kubeconfig*",
	"*.tfvars", "*.tfvars.json",
}

// harmless are those that are called so and hold none.
var harmless = []string{"*.pub", ".env.example", ".env.sample", ".env.template", ".env.dist", "*.example.tfvars"}

// keyNames are files that may hold a private key, which their content tells.
var keyNames = []string{"*.pem", "*.key"}

var privateKey = []byte("PRIVATE KEY-----")

func named(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

func mayHoldSecrets(name string) bool { return named(name, secretNames) && !named(name, harmless) }

func isPrivateKey(name string, head []byte) bool {
	return named(name, keyNames) && bytes.Contains(head, privateKey)
}

// SecretFiles are files of a package that seem to hold secrets, which every job of
// the cluster could read.
type SecretFiles struct {
	// Paths are the first of them, sorted; More is how many there are besides.
	Paths []string
	More  int
	// Excludes is the whole list of patterns that leaves them out.
	Excludes []string
}

// Error is what a warning says of them.
func (s *SecretFiles) Error() string {
	and := ""
	if s.More > 0 {
		and = fmt.Sprintf(" and %d more", s.More)
	}
	return fmt.Sprintf("by their names or contents %s%s hold secrets, and every job of the cluster can read the package; to leave them out, write %s",
		strings.Join(s.Paths, ", "), and, excludesLine(s.Excludes))
}

// secrets are the tree's files that seem to hold secrets, or nil; only after Hash.
func (t *Tree) secrets() *SecretFiles {
	var paths []string
	s := &SecretFiles{Excludes: slices.Clone(t.options.Excludes)}
	for i, d := range t.hashed() {
		e := t.entries[i]
		name := path.Base(e.path)
		if e.isDir() || !mayHoldSecrets(name) && !d.key {
			continue
		}
		paths = append(paths, e.path)
		// Without a slash the pattern is one of all directories.
		if pattern := strings.TrimPrefix(exactly(name), "/"); !slices.Contains(s.Excludes, pattern) {
			s.Excludes = append(s.Excludes, pattern)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	const show = 5
	s.Paths = paths[:min(show, len(paths))]
	s.More = len(paths) - len(s.Paths)
	return s
}
