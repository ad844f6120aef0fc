// Package workdir makes the package that a Ray job runs in out of a local
// directory, as Ray's own client does, so that both name the same tree alike and
// share what is on the cluster already.
//
// There are three steps, and the directory may change between any two of them:
//
//	tree, err := workdir.Scan(ctx, dir, options) // names, sizes and modes; no contents
//	hash, err := tree.Hash(ctx)                  // one parallel pass over the contents
//	err = tree.WriteZip(ctx, w)                  // tree.ZipSize() bytes, checked against the hash
//
// # Three names for one tree
//
// [Hash.URI] is Ray's. It is the exclusive or of the first eight bytes of the SHA-1 of
// each path and its content, begun with eight ASCII zeros
// (ray/_private/runtime_env/packaging.py; SHA-1 since Ray 2.20, MD5 before). The
// server never checks it, so an older Ray takes it as it is. It is good enough to
// find an upload again and no more: it does not see a file's mode, an empty
// directory looks like an empty file, and "x" holding "foo" like "xf" holding
// "oo".
//
// [Hash.Content] and [Hash.Exec] are ours, and decide whether a job's inputs
// changed. They are kept in Terraform states, so their bytes never change:
//
//	Content = SHA-256 of one record for each file and empty directory of the zip
//	record  = uint32(len(path)) path uint32(len(digest)) digest
//	Exec    = SHA-256 of one record for each file that its owner may execute (0100)
//	record  = uint32(len(path)) path
//
// Paths are relative, UTF-8, with slashes; records are sorted by the bytes of the
// path; integers are big-endian; digest is the SHA-256 of the file's content, and
// empty for an empty directory. Whatever the zip does not hold is not in them:
// broken links, sockets, ignored files, and directories that hold something.
// Windows has no executable bits: Exec is empty there, and who compares hashes
// takes it over from the other one.
//
// # Modules and archives
//
// [WorkingDir] and [Module] take whatever a job's working_dir and py_modules may
// name on this machine, and give one [Package]. An entry of py_modules lies in its
// package under its own name ([ScanModule]), and a wheel's name is told apart by its
// content ([ReadWheel]): Ray's own names for both leave out what makes them differ. An
// archive goes as it is, under Ray's name for it; its hash is of its bytes.
//
// # What is packaged
//
// Ray's client leaves out what a pattern of the excludes matches, or of a .gitignore
// (see Options.IgnoreGitignore) or .rayignore (since Ray 2.53) in the directory
// itself or in any directory above the path, up to the root but not beyond. The
// patterns are git's as an old release of pathspec reads them, which Ray
// carries with it; ignore.go tells where they differ from git's. Links are
// followed, wherever they lead.
//
// Because of the mode that Ray's name does not see, a cluster that has the
// package keeps the mode of its first upload.
//
// The zip is like Ray's: stored, not compressed, files and empty directories
// only. Two things differ, and Ray reads neither: entries are sorted, and all carry the
// time 1980-01-01, so that the same tree always makes the same bytes.
//
// # What is refused
//
// Each of these would fail later, with a worse message, or succeed in a way that
// nobody wants: [EmptyError], [TooLargeError], [TerraformFilesError],
// [LinkCycleError], [UnreadableError], [PatternError], [ChangedError] and
// [NotDirectoryError]. A directory that is not there satisfies
// errors.Is(err, fs.ErrNotExist); no other error of this package does. All are
// wrapped in a *ray.Error.
//
// Files that seem to hold secrets are packaged, since their names can deceive;
// [Package.Secrets] names them for a warning.
//
// Memory does not grow with the size of the contents: a tree holds some hundred bytes
// for each file, and each pass one small buffer for each core.
package workdir
