package workdir

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// makeTree makes a directory of so many files in 40 directories, of so many bytes in all.
func makeTree(tb testing.TB, files, bytes int) string {
	tb.Helper()
	dir := tb.TempDir()
	content := make([]byte, bytes/files)
	source := rand.NewChaCha8([32]byte{1})
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("pkg%02d", i%40))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			tb.Fatal(err)
		}
		if _, err := source.Read(content); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("module_%04d.py", i)), content, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

const (
	benchFiles = 2000
	benchBytes = 50 << 20
)

func hashOnly(tb testing.TB, dir string) Hash {
	_, hash := scanHash(tb, dir, Options{})
	return hash
}

func hashAndZip(tb testing.TB, dir string, w io.Writer) Hash {
	tree, hash := scanHash(tb, dir, Options{})
	if err := tree.WriteZip(tb.Context(), w); err != nil {
		tb.Fatal(err)
	}
	return hash
}

func BenchmarkScan(b *testing.B) {
	dir := makeTree(b, benchFiles, benchBytes)
	for b.Loop() {
		if _, err := Scan(b.Context(), dir, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	dir := makeTree(b, benchFiles, benchBytes)
	b.SetBytes(benchBytes)
	for b.Loop() {
		hashOnly(b, dir)
	}
}

func BenchmarkHashAndZip(b *testing.B) {
	dir := makeTree(b, benchFiles, benchBytes)
	b.SetBytes(benchBytes)
	for b.Loop() {
		hashAndZip(b, dir, io.Discard)
	}
}

// BenchmarkAgainstRay measures in turns with Ray's own packaging on the same tree,
// and reports the medians of the ratios. Ray writes the zip to a file and
// reads it back, as its client does; we write to a file too.
func BenchmarkAgainstRay(b *testing.B) {
	py := startRay(b)
	dir := makeTree(b, benchFiles, benchBytes)
	zip := about("zip", dir, Options{})
	zip.Out = filepath.Join(b.TempDir(), "ray.zip")
	var hashes, both []float64
	for b.Loop() {
		theirs := py.ask(about("hash", dir, Options{}))
		start := time.Now()
		ours := hashOnly(b, dir)
		hash := time.Since(start).Seconds()
		if ours.URI != theirs.URI {
			b.Fatalf("URI is %s, Ray's is %s %s", ours.URI, theirs.URI, theirs.Error)
		}
		zipped := py.ask(zip)
		out, err := os.Create(filepath.Join(b.TempDir(), "our.zip"))
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		hashAndZip(b, dir, out)
		total := time.Since(start).Seconds()
		out.Close()
		hashes = append(hashes, hash/theirs.Seconds)
		both = append(both, total/(theirs.Seconds+zipped.Seconds))
	}
	b.ReportMetric(median(hashes), "hash/Ray's")
	b.ReportMetric(median(both), "hash+zip/Ray's")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

func TestMemoryDoesNotGrowWithContent(t *testing.T) {
	dir := makeTree(t, 4, 64<<20)
	tree, err := Scan(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := tree.Hash(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tree.WriteZip(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	limit := uint64(bufferBytes*(runtime.GOMAXPROCS(0)+2) + 1<<20)
	if got := after.TotalAlloc - before.TotalAlloc; got > limit {
		t.Errorf("64 MiB of content took %d bytes of memory, want at most %d", got, limit)
	}
}
