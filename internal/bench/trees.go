//go:build unix

package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
)

// makeTree fills dir with so many files in 40 directories, of so many random
// bytes in all: like a project with its dependencies, and nothing to compress.
func makeTree(dir string, files, bytes int) error {
	content := make([]byte, bytes/files)
	for i := range files {
		_, _ = rand.Read(content) // never fails since Go 1.24
		sub := filepath.Join(dir, fmt.Sprintf("pkg%02d", i%40))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("module_%04d.py", i)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// changeTree makes the tree another one of the same size.
func changeTree(dir string) error {
	return os.WriteFile(filepath.Join(dir, "round.txt"), []byte(rand.Text()), 0o600)
}
