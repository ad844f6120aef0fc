package workdir

import (
	"context"
	"crypto/sha1"
	"errors"
	"io/fs"
	"os"
	slashpath "path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// DefaultMaxBytes is the most that Ray's dashboard takes in one request (413
// beyond), whatever larger number its documentation names.
const DefaultMaxBytes = 100 << 20

// maxBytes is where a zip needs another format.
const maxBytes = 1<<32 - 1

// A walk is given up after so many paths, and earlier where the package is too
// large already: links that fan out can make a tree of any size.
const (
	maxPaths         = 1_000_000
	maxPathsTooLarge = 100_000
)

// Options say what of a directory is packaged.
type Options struct {
	// Excludes are patterns relative to the directory, as runtime_env's excludes.
	Excludes []string
	// DefaultExcludes come before them; nil is what Ray leaves out of each
	// working_dir since 2.54: .git, .venv, venv, __pycache__.
	DefaultExcludes []string
	// IgnoreGitignore is true where .gitignore files count for nothing
	// (RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1). Those called .rayignore always count.
	IgnoreGitignore bool
	// MaxBytes is the most that the zip may be; 0 is DefaultMaxBytes.
	MaxBytes int64
}

func (o Options) excludes() []string {
	defaults := o.DefaultExcludes
	if defaults == nil {
		defaults = []string{".git", ".venv", "venv", "__pycache__"}
	}
	return slices.Concat(defaults, o.Excludes)
}

func (o Options) maxBytes() int64 {
	if o.MaxBytes <= 0 {
		return DefaultMaxBytes
	}
	return min(o.MaxBytes, maxBytes)
}

// Tree is a directory as Scan found it.
type Tree struct {
	dir     string
	options Options
	// inside is where the directory that patterns are relative to lies in the tree, or
	// empty for its root.
	inside string
	// entries are what the zip holds, sorted by path.
	entries []entry
	// names is the part of Ray's name that needs no content: that of directories, broken links, sockets.
	names raySum

	mu sync.Mutex
	// digests belong to entries, index by index; nil before Hash.
	digests []digest
}

// entry is a file or an empty directory.
type entry struct {
	path  string
	bytes int64
	// mode is as in Unix's st_mode.
	mode uint32
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
	// modeExec lets the owner execute a file.
	modeExec = 0o100
)

func (e *entry) isDir() bool { return e.mode&modeDir != 0 }

func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm()) | modeFile
	if m.IsDir() {
		mode = uint32(m.Perm()) | modeDir
	}
	for bit, is := range map[uint32]bool{0o4000: m&fs.ModeSetuid != 0, 0o2000: m&fs.ModeSetgid != 0, 0o1000: m&fs.ModeSticky != 0} {
		if is {
			mode |= bit
		}
	}
	return mode
}

// Scan walks a directory and reads nothing but ignore files. Its errors are
// those of the package comment; whatever it returns no error for can be packaged
// unless contents say otherwise.
func Scan(ctx context.Context, dir string, options Options) (*Tree, error) {
	t := &Tree{dir: dir, options: options}
	return t.scan(&walker{ctx: ctx, tree: t, dir: dir})
}

func (t *Tree) scan(w *walker) (*Tree, error) {
	if err := w.walk(); err != nil {
		return nil, t.wrap(err)
	}
	slices.SortFunc(t.entries, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return t, nil
}

// walker is one run of Scan.
type walker struct {
	ctx  context.Context
	tree *Tree
	// dir is what is walked; inside is its place in the tree, empty where it is the
	// tree's root.
	dir, inside string
	specs       []*spec
	// above are the directories from the root to the present one.
	above []above

	// entries, files and zipBytes count what the zip would hold, paths all that was visited.
	paths, entries, files int
	zipBytes              int64
	largest               []File
	terraform             []string
	// rootIgnored is what left out the root.
	rootIgnored string
}

type above struct {
	path string
	info fs.FileInfo
}

var errTooManyPaths = errors.New("too many paths")

func (w *walker) walk() error {
	info, err := os.Stat(w.dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &NotDirectoryError{w.dir}
	}
	base, err := newSpec(excludesSource, "", w.tree.options.excludes())
	if err != nil {
		return err
	}
	w.specs = []*spec{base}
	partial := false
	if w.ignored("") == nil {
		err = w.directory("", info)
		partial = errors.Is(err, errTooManyPaths)
		if err != nil && !partial {
			return err
		}
	}
	limit := w.tree.options.maxBytes()
	switch {
	case len(w.terraform) > 0:
		return terraformFiles(w.terraform, w.tree.options)
	case partial || w.size() > limit:
		return &TooLargeError{Bytes: w.size(), Limit: limit, Files: w.files, Partial: partial, Largest: w.largest}
	case w.files == 0:
		return &EmptyError{By: w.rootIgnored}
	}
	return nil
}

// ignored returns the pattern that leaves the path out, or nil.
func (w *walker) ignored(path string) *pattern {
	for _, s := range w.specs {
		if p := s.match(path); p != nil {
			if path == "" {
				w.rootIgnored = s.source + ": " + p.text
			}
			return p
		}
	}
	return nil
}

// directory visits a directory that no pattern above it leaves out. Its own
// ignore files are read first: in Ray they can leave out the directory itself.
func (w *walker) directory(path string, info fs.FileInfo) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	children, err := os.ReadDir(w.abs(path))
	if err != nil {
		return w.unreadable(path, err)
	}
	before := len(w.specs)
	defer func() { w.specs = w.specs[:before] }()
	if err := w.ignoreFiles(path, children); err != nil {
		return err
	}
	if len(w.specs) > before && w.ignored(path) != nil {
		return nil
	}
	if path != "" && isTerraformDir(filepath.Base(path)) {
		w.terraform = append(w.terraform, path+"/")
		return nil
	}
	if err := w.visit(path); err != nil {
		return err
	}
	if len(children) == 0 {
		w.add(entry{path: path, mode: unixMode(info.Mode())})
		return nil
	}
	w.above = append(w.above, above{path, info})
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for _, c := range children {
		if err := w.child(join(path, c.Name()), c); err != nil {
			return err
		}
	}
	return nil
}

// child visits one path of a directory. What can't be resolved is a broken link
// to Ray: it has a name and no content.
func (w *walker) child(path string, c fs.DirEntry) error {
	if w.ignored(path) != nil {
		return nil
	}
	info, err := c.Info()
	link := err == nil && info.Mode()&fs.ModeSymlink != 0
	if link {
		info, err = os.Stat(w.abs(path))
		if isBroken(err) {
			return w.name(path)
		}
	}
	switch {
	case err != nil:
		return w.unreadable(path, err)
	case info.IsDir():
		if link {
			if err := w.cycle(path, info); err != nil {
				return err
			}
		}
		return w.directory(path, info)
	case !info.Mode().IsRegular():
		// A socket, pipe or device. Ray drops it from the zip, but waits for a
		// pipe's content for ever when it makes the name.
		return w.name(path)
	}
	if isTerraformFile(c.Name()) {
		w.terraform = append(w.terraform, path)
		return nil
	}
	if err := checkName(path); err != nil {
		return err
	}
	if err := w.count(); err != nil {
		return err
	}
	w.add(entry{path: path, bytes: info.Size(), mode: unixMode(info.Mode())})
	return nil
}

// cycle returns an error if the link leads to a directory that it lies in.
func (w *walker) cycle(path string, info fs.FileInfo) error {
	for _, a := range w.above {
		if os.SameFile(a.info, info) {
			target := a.path
			if target == "" {
				target = "."
			}
			return &LinkCycleError{Path: path, Target: target, Excludes: append(slices.Clone(w.tree.options.Excludes), exactly(path))}
		}
	}
	return nil
}

// ignoreFiles adds the specs of the directory.
func (w *walker) ignoreFiles(path string, children []fs.DirEntry) error {
	for _, name := range []string{".gitignore", ".rayignore"} {
		if name == ".gitignore" && w.tree.options.IgnoreGitignore {
			continue
		}
		if !slices.ContainsFunc(children, func(c fs.DirEntry) bool { return c.Name() == name }) {
			continue
		}
		source := join(path, name)
		info, err := os.Stat(w.abs(source))
		if isBroken(err) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		content, err := os.ReadFile(w.abs(source))
		if err != nil {
			return w.unreadable(source, err)
		}
		lines, err := fileLines(source, content)
		if err != nil {
			return err
		}
		s, err := newSpec(source, path, lines)
		if err != nil {
			return err
		}
		w.specs = append(w.specs, s)
	}
	return nil
}

// visit counts a directory; name counts what has a name and no content. Both
// are in Ray's name of the tree.
func (w *walker) visit(path string) error {
	if path == "" {
		path = "."
	}
	return w.name(path)
}

func (w *walker) name(path string) error {
	if err := checkName(path); err != nil {
		return err
	}
	if w.inside != "" {
		path = slashpath.Join(w.inside, path)
	}
	w.tree.names.add(sha1.Sum([]byte(path)))
	return w.count()
}

func (w *walker) count() error {
	w.paths++
	if w.paths > maxPaths || w.paths > maxPathsTooLarge && w.size() > w.tree.options.maxBytes() {
		return errTooManyPaths
	}
	return nil
}

// add takes an entry into the tree. Nothing is kept of a tree that is too large
// already, but what its message needs.
func (w *walker) add(e entry) {
	if w.inside != "" {
		e.path = slashpath.Join(w.inside, e.path)
	}
	w.entries++
	w.zipBytes += e.zipBytes()
	if !e.isDir() {
		w.files++
		w.largest = insertLargest(w.largest, File{e.path, e.bytes})
	}
	if w.size() <= w.tree.options.maxBytes() {
		w.tree.entries = append(w.tree.entries, e)
	} else {
		w.tree.entries = nil
	}
}

func (w *walker) size() int64 { return zipBytes(w.zipBytes, w.entries) }

// insertLargest keeps the five largest, and of equals those that come first.
func insertLargest(largest []File, f File) []File {
	const keep = 5
	at := len(largest)
	for at > 0 && largest[at-1].Bytes < f.Bytes {
		at--
	}
	if at == keep {
		return largest
	}
	largest = slices.Insert(largest, at, f)
	return largest[:min(keep, len(largest))]
}

func (w *walker) abs(path string) string { return filepath.Join(w.dir, filepath.FromSlash(path)) }

// relative is an entry's path as patterns see it.
func (t *Tree) relative(path string) string {
	if t.inside == "" {
		return path
	}
	return strings.TrimPrefix(path, t.inside+"/")
}

func (t *Tree) abs(path string) string { return filepath.Join(t.dir, filepath.FromSlash(path)) }

// unreadable tells what was there a moment ago from what may not be read.
func (w *walker) unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &ChangedError{path, "it is gone"}
	}
	if path == "" {
		path = "."
	}
	return &UnreadableError{path, err}
}

// checkName refuses a name that Ray's client can't encode either.
func checkName(path string) error {
	if !utf8.ValidString(path) {
		return &UnreadableError{path, errNotUTF8}
	}
	return nil
}

var errNotUTF8 = errors.New("its name is not UTF-8")

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
