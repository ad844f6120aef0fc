//go:build !unix

package workdir

import (
	"errors"
	"io/fs"
)

// isBroken reports whether a link leads nowhere.
func isBroken(err error) bool { return errors.Is(err, fs.ErrNotExist) }
