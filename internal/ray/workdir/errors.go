package workdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// NotDirectoryError is a path that is something else than a directory.
type NotDirectoryError struct{ Path string }

func (e *NotDirectoryError) Error() string { return e.Path + " is not a directory" }

// EmptyError is a package without a single file. It is an error because a job
// would start in an empty directory: Ray itself uploads such a package, without
// a word, under the name _ray_pkg_3030303030303030.zip.
type EmptyError struct {
	// By says which pattern left out the directory as a whole (".gitignore: *"), or is empty.
	By string
}

func (e *EmptyError) Error() string {
	if e.By == "" {
		return "there is no file to package: the directory is empty, or all of it is excluded"
	}
	return fmt.Sprintf("the package would be empty: the pattern %q matches the directory itself, "+
		"and Ray lets no later pattern, such as !*.py, take that back; "+
		"write patterns that do not match %q, such as /*/ for all that lies in directories, or *.csv", e.By, ".")
}

// File is a file of a tree.
type File struct {
	// Path is relative to the directory, with slashes.
	Path string
	// Bytes is the size of the content.
	Bytes int64
}

// TooLargeError is a package over the limit.
type TooLargeError struct {
	// Bytes is the size of the zip, Limit the most it may be, in bytes.
	Bytes, Limit int64
	// Files is how many files the zip would hold.
	Files int
	// Partial is true where the directory is so large that the search was given
	// up: Bytes and Files are what was seen until then.
	Partial bool
	// Largest has the five largest files, the largest first.
	Largest []File
}

func (e *TooLargeError) Error() string {
	var b strings.Builder
	more := ""
	if e.Partial {
		more = "more than "
	}
	fmt.Fprintf(&b, "the package of %s%d files would be %s%s and Ray takes at most %s; the largest files are ",
		more, e.Files, more, binarySize(e.Bytes), binarySize(e.Limit))
	for i, f := range e.Largest {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", f.Path, binarySize(f.Bytes))
	}
	b.WriteString("; leave them out with excludes, .gitignore or .rayignore, or let the job read them from a store")
	return b.String()
}

func binarySize(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// TerraformFilesError is a tree that holds what Terraform keeps to itself: states and plans,
// which hold secrets and which any job on the cluster could read, and .terraform,
// which holds the providers.
type TerraformFilesError struct {
	// Paths are the first of the files and directories, sorted; More is how many there are besides.
	Paths []string
	More  int
	// Excludes is the whole list of patterns that leaves them out: those in use, then the missing.
	Excludes []string
}

func (e *TerraformFilesError) Error() string {
	and := ""
	if e.More > 0 {
		and = fmt.Sprintf(" and %d more", e.More)
	}
	return fmt.Sprintf("Terraform's own files would be in the package (%s%s), where every job of the cluster could read them; write %s",
		strings.Join(e.Paths, ", "), and, excludesLine(e.Excludes))
}

// LinkCycleError is a symbolic link to a directory that the link lies in. Ray
// 2.60 follows it until the system refuses, at 40 links on Linux: one such link
// makes 41 copies of the tree, under a name that is another on each system,
// and two of them do not end.
type LinkCycleError struct {
	// Path is the link; Target is the directory that it leads back to ("." is the root).
	Path, Target string
	// Excludes is the whole list of patterns that leaves the link out.
	Excludes []string
}

func (e *LinkCycleError) Error() string {
	return fmt.Sprintf("the link %s leads back to %s, which it lies in; write %s", e.Path, e.Target, excludesLine(e.Excludes))
}

// UnreadableError is a file or directory that can't be read.
type UnreadableError struct {
	// Path is relative to the directory, with slashes.
	Path string
	// Err says why.
	Err error
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("can't read %s: %v", e.Path, cause(e.Err))
}

// ChangedError is a file that is no longer what it was.
type ChangedError struct {
	// Path is relative to the directory, with slashes; What says what changed.
	Path, What string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed while it was packaged: %s", e.Path, e.What)
}

// PatternError is a pattern that Ray's client can't read either: it dies of it.
type PatternError struct {
	// Source is "excludes", or the path of the ignore file; Line counts the file's from 1.
	Source string
	Line   int
	// Pattern is the pattern as written, Reason what is wrong with it.
	Pattern, Reason string
}

func (e *PatternError) Error() string {
	at := e.Source
	if e.Line > 0 {
		at = fmt.Sprintf("%s, line %d", e.Source, e.Line)
	}
	return fmt.Sprintf("%s: %q is no pattern to Ray: %s", at, e.Pattern, e.Reason)
}

// cause drops the operation and the absolute path of an error of package os.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// wrap makes an *ray.Error of what went wrong with the directory.
func (t *Tree) wrap(err error) error {
	if err == nil {
		return nil
	}
	kind := ray.KindInvalid
	switch {
	case errors.Is(err, context.Canceled):
		kind = ray.KindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		kind = ray.KindTimeout
	}
	return &ray.Error{Kind: kind, Op: "package " + t.dir, Err: err}
}

// excludesLine is the line to write into a configuration.
func excludesLine(patterns []string) string {
	quoted := make([]string, len(patterns))
	for i, p := range patterns {
		quoted[i] = strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(p))
	}
	return "excludes = [" + strings.Join(quoted, ", ") + "]"
}

// exactly is the pattern that matches the one path.
func exactly(path string) string {
	var b strings.Builder
	b.WriteByte('/')
	for _, r := range path {
		switch {
		case unicode.IsSpace(r):
			// At the end of the line a bare one would be stripped, with a backslash too.
			b.WriteString("[" + string(r) + "]")
			continue
		case strings.ContainsRune(`\*?[`, r):
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
