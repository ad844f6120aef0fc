package workdir

import (
	"context"
	"io"
	"os"
	"strings"
)

// Package is what is uploaded for one path, ready to be written.
type Package struct {
	// URI is its name on the cluster.
	URI string
	// Hash is the form that states hold: "v1:<content>:<exec>" of a tree,
	// "v1:file:<sha256>" of a file that is uploaded as it is.
	Hash string
	// Size is the number of bytes that Write writes.
	Size int64
	// Write writes it; it may be called again.
	Write func(ctx context.Context, w io.Writer) error
	// Secrets are files in it that seem to hold secrets, or nil. Archives are not
	// looked into.
	Secrets *SecretFiles
}

// WorkingDir reads a directory, or an archive, to run a job in.
func WorkingDir(ctx context.Context, path string, options Options) (*Package, error) {
	if isFile(path) {
		return ofArchive(ReadArchive(ctx, path))
	}
	return ofTree(ctx)(Scan(ctx, path, options))
}

// Module reads an entry of py_modules: a directory, a .py file or a wheel.
func Module(ctx context.Context, path string, options Options) (*Package, error) {
	if isFile(path) && strings.HasSuffix(path, ".whl") {
		return ofArchive(ReadWheel(ctx, path))
	}
	return ofTree(ctx)(ScanModule(ctx, path, options))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

func ofArchive(a *Archive, err error) (*Package, error) {
	if err != nil {
		return nil, err
	}
	return &Package{URI: a.URI, Hash: a.Hash(), Size: a.Size(), Write: a.Write}, nil
}

func ofTree(ctx context.Context) func(t *Tree, err error) (*Package, error) {
	return func(t *Tree, err error) (*Package, error) {
		if err != nil {
			return nil, err
		}
		hash, err := t.Hash(ctx)
		if err != nil {
			return nil, err
		}
		return &Package{URI: hash.URI, Hash: hash.String(), Size: t.ZipSize(), Write: t.WriteZip, Secrets: t.secrets()}, nil
	}
}

// LikeRecorded is hash, with the executable bits of the recorded one where this
// machine has none (Windows).
func LikeRecorded(hash, recorded string) string {
	parts := strings.Split(recorded, ":")
	if strings.HasSuffix(hash, ":") && len(parts) == 3 && parts[1] != "file" {
		return hash + parts[2]
	}
	return hash
}
