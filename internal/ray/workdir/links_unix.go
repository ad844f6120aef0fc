//go:build unix

package workdir

import (
	"errors"
	"io/fs"
	"syscall"
)

// isBroken reports whether a link leads nowhere. Python's is_dir and is_file
// say "no" to the same errors, and pass on all others.
func isBroken(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}
