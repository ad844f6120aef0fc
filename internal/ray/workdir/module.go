package workdir

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// moduleExcludes are left out of each module. Ray leaves nothing out of modules by
// itself; but what Python caches beside its sources, as each import of them does,
// would make them another package.
var moduleExcludes = []string{".git", "__pycache__"}

// NotModuleError is a path that Python can't import.
type NotModuleError struct{ Path string }

func (e *NotModuleError) Error() string {
	return fmt.Sprintf("%s is no Python module: it must be a directory, a .py file or a .whl file", e.Path)
}

// ScanModule is Scan for an entry of py_modules: a package's directory or a file of
// Python. The tree is one that holds nothing else, under its own name, as Ray wants
// it on the Python path.
//
// Ray's own name of the package leaves the directory's name out, so that a module
// that was renamed, another of the same content, and a working_dir of that content
// are one package to it, of which the first one uploaded is found by all. Here the
// package is named, by Ray's rule, for the tree that it is.
func ScanModule(ctx context.Context, path string, options Options) (*Tree, error) {
	options.DefaultExcludes = moduleExcludes
	t := &Tree{dir: path, options: options}
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, t.wrap(err)
	}
	info, err := os.Stat(full)
	if err != nil {
		return nil, t.wrap(err)
	}
	name := filepath.Base(full)
	parent := filepath.Dir(full)
	t.names.add(sha1.Sum([]byte(".")))
	switch {
	case info.IsDir() && parent != full:
		w := &walker{ctx: ctx, tree: t, dir: full, inside: filepath.ToSlash(name)}
		t.dir, t.inside = parent, w.inside
		if _, err := t.scan(w); err != nil {
			return nil, err
		}
		return t, nil
	case info.Mode().IsRegular() && strings.HasSuffix(name, ".py"):
		if err := checkName(name); err != nil {
			return nil, t.wrap(err)
		}
		t.dir = parent
		t.entries = []entry{{path: name, bytes: info.Size(), mode: unixMode(info.Mode())}}
		return t, nil
	}
	return nil, t.wrap(&NotModuleError{path})
}
