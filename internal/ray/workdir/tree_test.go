package workdir

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// recordedTree is a directory, and what Ray 2.60's client made of it. Content and
// Exec were computed from the zip that Ray made, by another program.
type recordedTree struct {
	Name            string
	Tree            []node
	Excludes        []string
	DefaultExcludes []string `json:"default_excludes"`
	IgnoreGitignore bool     `json:"ignore_gitignore"`
	URI             string
	Content, Exec   string
	// Names are the entries of the zip.
	Names []string
	// Error is the type of the error that we give, Ray what Ray's client raised.
	Error, Ray string
}

func (r *recordedTree) options() Options {
	return Options{Excludes: r.Excludes, DefaultExcludes: r.DefaultExcludes, IgnoreGitignore: r.IgnoreGitignore}
}

// node is a file unless it is a link or a directory.
type node struct {
	Path, Text, Hex, Mode, Link string
	Dir                         bool
}

func recordedTrees(tb testing.TB) []recordedTree {
	tb.Helper()
	var trees []recordedTree
	readJSON(tb, "testdata/trees.json", &trees)
	return trees
}

// build makes the nodes in a new directory.
func build(tb testing.TB, nodes ...node) string {
	tb.Helper()
	root := filepath.Join(tb.TempDir(), "tree")
	if err := os.Mkdir(root, 0o755); err != nil {
		tb.Fatal(err)
	}
	for _, n := range nodes {
		if err := n.make(root); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func (n node) make(root string) error {
	path := filepath.Join(root, n.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch {
	case n.Dir:
		return os.MkdirAll(path, 0o755)
	case n.Link != "":
		return os.Symlink(n.Link, path)
	}
	content := []byte(n.Text)
	if n.Hex != "" {
		var err error
		if content, err = hex.DecodeString(n.Hex); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	if n.Mode == "" {
		return os.Chmod(path, 0o644)
	}
	bits, err := strconv.ParseUint(n.Mode, 8, 32)
	if err != nil {
		return err
	}
	mode := os.FileMode(bits & 0o777)
	if bits&0o4000 != 0 {
		mode |= os.ModeSetuid
	}
	if bits&0o1000 != 0 {
		mode |= os.ModeSticky
	}
	return os.Chmod(path, mode)
}

func file(path, text string) node   { return node{Path: path, Text: text} }
func link(path, target string) node { return node{Path: path, Link: target} }

// scanHash does both steps and fails the test on an error.
func scanHash(tb testing.TB, dir string, options Options) (*Tree, Hash) {
	tb.Helper()
	tree, err := Scan(tb.Context(), dir, options)
	if err != nil {
		tb.Fatal(err)
	}
	hash, err := tree.Hash(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return tree, hash
}
