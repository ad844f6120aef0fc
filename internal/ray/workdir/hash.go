package workdir

import (
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Hash names a tree. The package comment has the bytes.
type Hash struct {
	// URI is Ray's own name for the package: gcs://_ray_pkg_<16 hex digits>.zip.
	URI string
	// Content and Exec are 64 hex digits each; Exec is empty on Windows, which
	// has no executable bits.
	Content, Exec string
	// Bytes is the sum of the files' sizes, Files how many they are.
	Bytes int64
	Files int
}

// String is the form that states hold: "v1:<content>:<exec>".
func (h Hash) String() string { return "v1:" + h.Content + ":" + h.Exec }

// execKnown is false where the system has no executable bits (Windows). Who
// compares hashes there has to take Exec over from the other one.
func execKnown() bool { return runtime.GOOS != "windows" }

// raySum is Ray's way to add up a tree.
type raySum [8]byte

func (s *raySum) add(sum [sha1.Size]byte) {
	for i := range s {
		s[i] ^= sum[i]
	}
}

// digest is what one pass over a file finds.
type digest struct {
	bytes  int64
	crc    uint32
	sha1   [sha1.Size]byte
	sha256 [sha256.Size]byte
	// plan is true for a saved plan of Terraform, key for a private key.
	plan, key bool
}

// bufferBytes is what a pass reads at once. More is not faster.
const bufferBytes = 128 << 10

// Hash reads each file once, on all cores, and computes all the names and
// checksums in this pass. A file that grew or shrank since Scan counts as it is
// now; one that is gone is a *ChangedError.
func (t *Tree) Hash(ctx context.Context) (Hash, error) {
	digests, err := t.digestAll(ctx)
	if err != nil {
		return Hash{}, t.wrap(err)
	}
	h := t.sum(digests)
	if err := t.check(digests, h); err != nil {
		return Hash{}, t.wrap(err)
	}
	t.mu.Lock()
	t.digests = digests
	t.mu.Unlock()
	return h, nil
}

// digestAll shares the files among the cores. The large ones go first, so that no core
// ends up with the largest while the others rest.
func (t *Tree) digestAll(ctx context.Context) ([]digest, error) {
	order := make([]int, len(t.entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.entries[b].bytes, t.entries[a].bytes) })

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	digests := make([]digest, len(t.entries))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(order)) {
		workers.Go(func() {
			d := newDigester()
			for {
				n := int(next.Add(1)) - 1
				if n >= len(order) || ctx.Err() != nil {
					return
				}
				i := order[n]
				if err := d.digest(ctx, t, &t.entries[i], &digests[i]); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return digests, nil
}

// digester is one worker with its buffer and hashes.
type digester struct {
	buffer []byte
	sha1   hash.Hash
	sha256 hash.Hash
}

func newDigester() *digester {
	return &digester{buffer: make([]byte, bufferBytes), sha1: sha1.New(), sha256: sha256.New()}
}

// digest reads one file. Ray's hash begins with the path; that of an empty
// directory is nothing else, and is a part of the tree's names already.
func (d *digester) digest(ctx context.Context, t *Tree, e *entry, out *digest) error {
	if e.isDir() {
		return nil
	}
	f, err := os.Open(t.abs(e.path))
	if err != nil {
		return openError(e.path, err)
	}
	defer f.Close()
	d.sha1.Reset()
	d.sha256.Reset()
	d.sha1.Write([]byte(e.path))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(d.buffer)
		if n > 0 {
			chunk := d.buffer[:n]
			if out.bytes == 0 {
				out.plan = isPlan(chunk)
				out.key = isPrivateKey(path.Base(e.path), chunk)
			}
			out.bytes += int64(n)
			d.sha1.Write(chunk)
			d.sha256.Write(chunk)
			out.crc = crc32.Update(out.crc, crc32.IEEETable, chunk)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &UnreadableError{e.path, err}
		}
	}
	d.sha1.Sum(out.sha1[:0])
	d.sha256.Sum(out.sha256[:0])
	return nil
}

// openError is for a file that was there when Scan came by.
func openError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &ChangedError{path, "it is gone"}
	}
	return &UnreadableError{path, err}
}

// sum puts the names of the tree together.
func (t *Tree) sum(digests []digest) Hash {
	var h Hash
	names := raySum([]byte("00000000"))
	for i, b := range t.names {
		names[i] ^= b
	}
	content, exec := sha256.New(), sha256.New()
	for i := range t.entries {
		e, d := &t.entries[i], &digests[i]
		writeField(content, e.path)
		if e.isDir() {
			writeField(content, "")
			continue
		}
		writeField(content, string(d.sha256[:]))
		if e.mode&modeExec != 0 {
			writeField(exec, e.path)
		}
		names.add(d.sha1)
		h.Bytes += d.bytes
		h.Files++
	}
	h.URI = "gcs://_ray_pkg_" + hex.EncodeToString(names[:]) + ".zip"
	h.Content = hex.EncodeToString(content.Sum(nil))
	if execKnown() {
		h.Exec = hex.EncodeToString(exec.Sum(nil))
	}
	return h
}

func writeField(w hash.Hash, field string) {
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(field)))
	// A hash.Hash never returns an error.
	_, _ = w.Write(length[:])
	_, _ = io.WriteString(w, field)
}

// check finds what only contents tell: saved plans, and a tree that grew.
func (t *Tree) check(digests []digest, h Hash) error {
	var plans []string
	var largest []File
	var total int64
	for i := range t.entries {
		e := t.entries[i]
		if digests[i].plan {
			plans = append(plans, t.relative(e.path))
		}
		e.bytes = digests[i].bytes
		total += e.zipBytes()
		if !e.isDir() {
			largest = insertLargest(largest, File{e.path, e.bytes})
		}
	}
	if len(plans) > 0 {
		return terraformFiles(plans, t.options)
	}
	if size, limit := zipBytes(total, len(t.entries)), t.options.maxBytes(); size > limit {
		return &TooLargeError{Bytes: size, Limit: limit, Files: h.Files, Largest: largest}
	}
	return nil
}
