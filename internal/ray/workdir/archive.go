package workdir

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Suffixes of the archives that Ray 2.60 takes; before, those of a working_dir had
// to be .zip.
var (
	workingDirSuffixes = []string{".zip", ".tar.gz", ".tgz", ".tar.xz"}
	moduleSuffixes     = []string{".zip", ".whl", ".tar.gz", ".tgz", ".tar.xz"}
)

func hasSuffix(name string, suffixes []string) bool {
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// NotArchiveError is a file that Ray does not unpack.
type NotArchiveError struct{ Path string }

func (e *NotArchiveError) Error() string {
	return fmt.Sprintf("%s is neither a directory nor an archive that Ray takes (%s)", e.Path, strings.Join(workingDirSuffixes, ", "))
}

// WheelNameError is a wheel whose name pip would refuse.
type WheelNameError struct{ Path string }

func (e *WheelNameError) Error() string {
	return fmt.Sprintf("%s is not named as a wheel is (name-version-python-abi-platform.whl), so pip would refuse it", e.Path)
}

// ArchiveSizeError is an archive that Ray's dashboard does not take.
type ArchiveSizeError struct{ Bytes, Limit int64 }

func (e *ArchiveSizeError) Error() string {
	return fmt.Sprintf("it has %s and Ray takes at most %s; put it where the nodes can fetch it, and write its URI", binarySize(e.Bytes), binarySize(e.Limit))
}

// Archive is a file that is uploaded as it is.
type Archive struct {
	// URI is the name that it has on the cluster.
	URI  string
	path string
	size int64
	hash string
}

// ReadArchive reads an archive that is a working_dir.
func ReadArchive(ctx context.Context, path string) (*Archive, error) {
	a := &Archive{path: path}
	if !hasSuffix(path, workingDirSuffixes) {
		return nil, a.wrap(&NotArchiveError{path})
	}
	sum, err := a.read(ctx)
	if err != nil {
		return nil, err
	}
	// Ray's own name (get_uri_for_package in packaging.py).
	suffix := ".zip"
	switch {
	case strings.HasSuffix(path, ".tar.gz"), strings.HasSuffix(path, ".tgz"):
		suffix = ".tar.gz"
	case strings.HasSuffix(path, ".tar.xz"):
		suffix = ".tar.xz"
	}
	a.URI = "gcs://_ray_pkg_" + sum + suffix
	return a, nil
}

// wheelName is PEP 427's: name, version, perhaps a build tag, and three tags.
var wheelName = regexp.MustCompile(`^([^-]+-[^-]+)(?:-(\d[^-]*))?(-[^-]+-[^-]+-[^-]+\.whl)$`)

// ReadWheel reads a wheel. To Ray its file's name is its content's, so that a wheel
// that was built anew under its old version would never be uploaded. The build tag,
// which only pip's choice between wheels of one version goes by, tells the content.
func ReadWheel(ctx context.Context, path string) (*Archive, error) {
	a := &Archive{path: path}
	parts := wheelName.FindStringSubmatch(filepath.Base(path))
	if parts == nil {
		return nil, a.wrap(&WheelNameError{path})
	}
	sum, err := a.read(ctx)
	if err != nil {
		return nil, err
	}
	build := parts[2]
	if build == "" {
		build = "0"
	}
	a.URI = "gcs://" + parts[1] + "-" + build + "_" + sum[:16] + parts[3]
	return a, nil
}

// Hash is the form that states hold: "v1:file:<64 hex digits>", the SHA-256 of the
// file.
func (a *Archive) Hash() string { return a.hash }

// Size is how many bytes Write writes.
func (a *Archive) Size() int64 { return a.size }

// read computes the file's hash and returns its SHA-1.
func (a *Archive) read(ctx context.Context) (string, error) {
	info, err := os.Stat(a.path)
	switch {
	case err != nil:
		return "", a.wrap(err)
	case !info.Mode().IsRegular():
		return "", a.wrap(&UnreadableError{filepath.Base(a.path), errors.New("it is not a regular file")})
	case info.Size() > DefaultMaxBytes:
		return "", a.wrap(&ArchiveSizeError{info.Size(), DefaultMaxBytes})
	}
	short, long := sha1.New(), sha256.New()
	a.size, err = a.copy(ctx, io.MultiWriter(short, long))
	if err != nil {
		return "", a.wrap(err)
	}
	a.hash = "v1:file:" + hex.EncodeToString(long.Sum(nil))
	return hex.EncodeToString(short.Sum(nil)), nil
}

// Write writes the file. One that is not what was read is a *ChangedError; the
// upload must not be finished then.
func (a *Archive) Write(ctx context.Context, w io.Writer) error {
	s := &sink{w: w}
	sum := sha256.New()
	_, err := a.copy(ctx, io.MultiWriter(s, sum))
	if s.err != nil {
		return s.err
	}
	if err == nil && "v1:file:"+hex.EncodeToString(sum.Sum(nil)) != a.hash {
		err = &ChangedError{filepath.Base(a.path), "its content is another"}
	}
	return a.wrap(err)
}

func (a *Archive) copy(ctx context.Context, w io.Writer) (int64, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return 0, openError(filepath.Base(a.path), err)
	}
	defer f.Close()
	var total int64
	buffer := make([]byte, bufferBytes)
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := f.Read(buffer)
		total += int64(n)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return total, err
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, &UnreadableError{filepath.Base(a.path), err}
		}
	}
}

func (a *Archive) wrap(err error) error {
	return (&Tree{dir: a.path}).wrap(err)
}
