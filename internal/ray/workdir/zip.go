package workdir

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// The zip format, as far as Ray's client uses it (Python's zipfile.ZipFile.write
// without compression): local header and content for each entry, the central
// directory, the end record. Sizes and checksums are known from Hash, so that nothing
// follows a content.
const (
	localHeaderBytes   = 30
	centralHeaderBytes = 46
	endRecordBytes     = 22
	// bigEndRecordBytes is the zip64 end record with its locator. It is there
	// where the end record's 16 bits can't count the entries.
	bigEndRecordBytes = 56 + 20
	maxEntries        = 1<<16 - 1

	// version 2.0, and 3 for a mode that is Unix's.
	zipVersion   = 20
	madeBy       = 3<<8 | zipVersion
	big64Version = 45
	// utf8Flag says that the name is UTF-8; Python sets it where it is not ASCII.
	utf8Flag = 0x800
	// dosDate is 1980-01-01, the first day that there is.
	dosDate      = 1<<5 | 1
	dosDirectory = 0x10
)

// zipName is the entry's name in the zip.
func (e *entry) zipName() string {
	if e.isDir() {
		return e.path + "/"
	}
	return e.path
}

// zipBytes is what the entry takes in the zip.
func (e *entry) zipBytes() int64 {
	return localHeaderBytes + centralHeaderBytes + 2*int64(len(e.zipName())) + e.bytes
}

// zipBytes is the size of a zip whose entries take so many bytes.
func zipBytes(entries int64, count int) int64 {
	if count > maxEntries {
		entries += bigEndRecordBytes
	}
	return entries + endRecordBytes
}

// ZipSize is how many bytes WriteZip writes: the Content-Length of an upload. Before
// Hash it goes by the sizes that Scan saw.
func (t *Tree) ZipSize() int64 {
	digests := t.hashed()
	var total int64
	for i := range t.entries {
		e := t.entries[i]
		if digests != nil {
			e.bytes = digests[i].bytes
		}
		total += e.zipBytes()
	}
	return zipBytes(total, len(t.entries))
}

func (t *Tree) hashed() []digest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.digests
}

var errNotHashed = errors.New("the zip needs the checksums of Hash first")

// WriteZip writes the package. It can be called again, also while another call
// is under way. A file that is not what Hash saw is a *ChangedError; the zip is incomplete
// then, and the upload must not be finished. Errors of w are returned as they are.
func (t *Tree) WriteZip(ctx context.Context, w io.Writer) error {
	digests := t.hashed()
	if digests == nil {
		return t.wrap(errNotHashed)
	}
	s := &sink{w: w}
	z := &zipWriter{ctx: ctx, w: bufio.NewWriterSize(s, bufferBytes), buffer: make([]byte, bufferBytes)}
	err := z.write(t, digests)
	if s.err != nil {
		return s.err
	}
	return t.wrap(err)
}

// sink remembers the writer's error: it is not the tree's.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// zipWriter writes one zip.
type zipWriter struct {
	ctx    context.Context
	w      *bufio.Writer
	buffer []byte
	header []byte
}

func (z *zipWriter) write(t *Tree, digests []digest) error {
	for i := range t.entries {
		if err := z.local(&t.entries[i], &digests[i]); err != nil {
			return err
		}
		if err := z.content(t, &t.entries[i], &digests[i]); err != nil {
			return err
		}
	}
	var offset, directory int64
	for i := range t.entries {
		e := &t.entries[i]
		if err := z.central(e, &digests[i], offset); err != nil {
			return err
		}
		offset += localHeaderBytes + int64(len(e.zipName())) + digests[i].bytes
		directory += centralHeaderBytes + int64(len(e.zipName()))
	}
	if err := z.end(len(t.entries), offset, directory); err != nil {
		return err
	}
	return z.w.Flush()
}

// common appends the fields that both headers of an entry share.
func common(b []byte, e *entry, d *digest) []byte {
	flags := uint16(0)
	for i := range len(e.path) {
		if e.path[i] >= 0x80 {
			flags = utf8Flag
		}
	}
	le := binary.LittleEndian
	b = le.AppendUint16(b, zipVersion)
	b = le.AppendUint16(b, flags)
	b = le.AppendUint16(b, 0) // stored
	b = le.AppendUint16(b, 0) // midnight
	b = le.AppendUint16(b, dosDate)
	b = le.AppendUint32(b, d.crc)
	b = le.AppendUint32(b, uint32(d.bytes)) // compressed
	b = le.AppendUint32(b, uint32(d.bytes))
	b = le.AppendUint16(b, uint16(len(e.zipName())))
	return le.AppendUint16(b, 0) // no extra field
}

func (z *zipWriter) local(e *entry, d *digest) error {
	z.header = append(z.header[:0], "PK\x03\x04"...)
	z.header = common(z.header, e, d)
	z.header = append(z.header, e.zipName()...)
	_, err := z.w.Write(z.header)
	return err
}

func (z *zipWriter) central(e *entry, d *digest, offset int64) error {
	le := binary.LittleEndian
	attributes := e.mode << 16
	if e.isDir() {
		attributes |= dosDirectory
	}
	z.header = append(z.header[:0], "PK\x01\x02"...)
	z.header = le.AppendUint16(z.header, madeBy)
	z.header = common(z.header, e, d)
	z.header = append(z.header, 0, 0, 0, 0, 0, 0) // no comment, first disk, no internal attributes
	z.header = le.AppendUint32(z.header, attributes)
	z.header = le.AppendUint32(z.header, uint32(offset))
	z.header = append(z.header, e.zipName()...)
	_, err := z.w.Write(z.header)
	return err
}

// content copies one file and proves that it is the one that was hashed.
func (z *zipWriter) content(t *Tree, e *entry, d *digest) error {
	if e.isDir() {
		return z.ctx.Err()
	}
	f, err := os.Open(t.abs(e.path))
	if err != nil {
		return openError(e.path, err)
	}
	defer f.Close()
	var written int64
	crc := uint32(0)
	for {
		if err := z.ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(z.buffer)
		written += int64(n)
		if written > d.bytes {
			return &ChangedError{e.path, fmt.Sprintf("it had %d bytes and has more now", d.bytes)}
		}
		crc = crc32.Update(crc, crc32.IEEETable, z.buffer[:n])
		if _, err := z.w.Write(z.buffer[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &UnreadableError{e.path, err}
		}
	}
	switch {
	case written < d.bytes:
		return &ChangedError{e.path, fmt.Sprintf("it had %d bytes and has %d now", d.bytes, written)}
	case crc != d.crc:
		return &ChangedError{e.path, "its content is another"}
	}
	return nil
}

func (z *zipWriter) end(count int, offset, directory int64) error {
	le := binary.LittleEndian
	b := z.header[:0]
	if count > maxEntries {
		b = append(b, "PK\x06\x06"...)
		b = le.AppendUint64(b, 44) // of this record, from here
		b = le.AppendUint16(b, big64Version)
		b = le.AppendUint16(b, big64Version)
		b = le.AppendUint64(b, 0) // first disk, twice
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(directory))
		b = le.AppendUint64(b, uint64(offset))
		b = append(b, "PK\x06\x07\x00\x00\x00\x00"...)
		b = le.AppendUint64(b, uint64(offset+directory))
		b = le.AppendUint32(b, 1) // disk in all
	}
	b = append(b, "PK\x05\x06\x00\x00\x00\x00"...)
	b = le.AppendUint16(b, uint16(min(count, maxEntries)))
	b = le.AppendUint16(b, uint16(min(count, maxEntries)))
	b = le.AppendUint32(b, uint32(directory))
	b = le.AppendUint32(b, uint32(offset))
	b = le.AppendUint16(b, 0) // no comment
	_, err := z.w.Write(b)
	return err
}
