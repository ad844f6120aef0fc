package workdir

import (
	"context"
	"os"
	"path"
	"strings"
)

// Takes reports whether a file, which need not be there, would be in the
// package of dir. It is relative to dir, with slashes.
func Takes(ctx context.Context, dir, file string, options Options) (bool, error) {
	base, err := newSpec(excludesSource, "", options.excludes())
	if err != nil {
		return false, err
	}
	w := &walker{ctx: ctx, tree: &Tree{dir: dir, options: options}, dir: dir, specs: []*spec{base}}
	at := ""
	for name := range strings.SplitSeq(path.Clean(file), "/") {
		children, err := os.ReadDir(w.abs(at))
		if err != nil && !os.IsNotExist(err) {
			return false, w.tree.wrap(err)
		}
		if err := w.ignoreFiles(at, children); err != nil {
			return false, w.tree.wrap(err)
		}
		if w.ignored(at) != nil {
			return false, nil
		}
		at = join(at, name)
	}
	return w.ignored(at) == nil, nil
}
