package workdir

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// kindName is the type of the error that a *ray.Error of the package wraps.
func kindName(err error) string {
	var e *ray.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("not a *ray.Error: %T", err)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", e.Err), "*workdir.")
}

func TestTreesAreNamedAndPackedAsRecorded(t *testing.T) {
	t.Parallel()
	for _, r := range recordedTrees(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			dir := build(t, r.Tree...)
			tree, err := Scan(t.Context(), dir, r.options())
			if r.Error != "" {
				if got := kindName(err); got != r.Error {
					t.Fatalf("Scan: %s (%v), want %s", got, err, r.Error)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			hash, err := tree.Hash(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := "v1:" + r.Content + ":" + r.Exec; hash.String() != want {
				t.Errorf("hash is %s, recorded is %s", hash, want)
			}
			if hash.URI != r.URI {
				t.Errorf("URI is %s, Ray's is %s", hash.URI, r.URI)
			}
			checkZip(t, dir, tree, r.Names)
		})
	}
}

// checkZip unpacks the zip and compares it with the directory.
func checkZip(t *testing.T, dir string, tree *Tree, names []string) {
	t.Helper()
	var b bytes.Buffer
	if err := tree.WriteZip(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != tree.ZipSize() {
		t.Errorf("the zip has %d bytes, ZipSize says %d", b.Len(), tree.ZipSize())
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range z.File {
		got = append(got, f.Name)
		info, err := os.Stat(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		if f.Mode() != info.Mode() {
			t.Errorf("mode of %s is %v, want %v", f.Name, f.Mode(), info.Mode())
		}
		if f.Method != zip.Store || f.Flags&^utf8Flag != 0 {
			t.Errorf("%s has method %d and flags %#x, want stored and no data descriptor", f.Name, f.Method, f.Flags)
		}
		if info.IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want) {
			t.Errorf("content of %s is %q, want %q", f.Name, content, want)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("entries (-Ray +ours):\n%s", diff)
	}
}

func TestSameTreeMakesTheSameBytes(t *testing.T) {
	t.Parallel()
	nodes := []node{file("b", "1"), file("a/c", "2"), file("größe", "3")}
	var zips [2]bytes.Buffer
	for i := range zips {
		dir := build(t, nodes...)
		if err := os.Chtimes(filepath.Join(dir, "b"), time.Time{}, time.Unix(int64(1e9*(i+1)), 0)); err != nil {
			t.Fatal(err)
		}
		tree, _ := scanHash(t, dir, Options{})
		if err := tree.WriteZip(t.Context(), &zips[i]); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(zips[0].Bytes(), zips[1].Bytes()) {
		t.Error("two zips of one tree differ")
	}
}

func TestHashTellsApartWhatRayTakesForEqual(t *testing.T) {
	t.Parallel()
	run, exec := build(t, file("run", "x")), build(t, node{Path: "run", Text: "x", Mode: "755"})
	_, a := scanHash(t, run, Options{})
	_, b := scanHash(t, exec, Options{})
	if a.URI != b.URI || a.Content != b.Content || a.Exec == b.Exec {
		t.Errorf("chmod +x: got %+v and %+v, want only Exec to differ", a, b)
	}
	_, a = scanHash(t, build(t, file("f", "1"), file("x", "")), Options{})
	_, b = scanHash(t, build(t, file("f", "1"), node{Path: "x", Dir: true}), Options{})
	if a.URI != b.URI || a.Content == b.Content {
		t.Errorf("empty file and directory: got %+v and %+v, want only Content to differ", a, b)
	}
}

func TestMoreEntriesThanTheEndRecordCounts(t *testing.T) {
	t.Parallel()
	const count = 1<<16 + 3
	tree := &Tree{digests: make([]digest, count)}
	for i := range count {
		tree.entries = append(tree.entries, entry{path: fmt.Sprintf("%06d", i), mode: modeDir | 0o755})
	}
	var b bytes.Buffer
	if err := tree.WriteZip(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != tree.ZipSize() {
		t.Errorf("the zip has %d bytes, ZipSize says %d", b.Len(), tree.ZipSize())
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != count {
		t.Errorf("the zip lists %d entries, want %d", len(z.File), count)
	}
}

func TestScanRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		nodes   []node
		options Options
		want    error
	}{
		{"empty directory", nil, Options{}, &EmptyError{}},
		{"root ignored", []node{file(".gitignore", "# all\n*\n!*.py\n"), file("m.py", "")}, Options{}, &EmptyError{By: ".gitignore: *"}},
		{"root excluded", []node{file("m.py", "")}, Options{Excludes: []string{".*"}}, &EmptyError{By: "excludes: .*"}},
		{
			"over the limit", []node{file("a", "1"), file("b/big", "123456"), file("c", "12"), file("d", "123"), file("e", "1234"), file("f", "12345")},
			Options{MaxBytes: 100},
			&TooLargeError{Bytes: 519, Limit: 100, Files: 6, Largest: []File{{"b/big", 6}, {"f", 5}, {"e", 4}, {"d", 3}, {"c", 2}}},
		},
		{
			"Terraform's files", []node{file("main.tf", ""), file(".terraform/providers/x", ""), file("terraform.tfstate", ""), file("s/terraform.tfstate.backup", ""), file("a.tfplan", "")},
			Options{Excludes: []string{"data"}},
			&TerraformFilesError{
				Paths:    []string{".terraform/", "a.tfplan", "s/terraform.tfstate.backup", "terraform.tfstate"},
				Excludes: []string{"data", ".terraform", "*.tfplan", "*.tfstate*"},
			},
		},
		{"bad pattern in the excludes", []node{file("f", "")}, Options{Excludes: []string{"a", "!"}}, &PatternError{Source: "excludes", Pattern: "!", Reason: "there is no name in it"}},
		{"link to the root", []node{file("f", ""), link("d/up", "..")}, Options{}, &LinkCycleError{Path: "d/up", Target: ".", Excludes: []string{"/d/up"}}},
		{"link to a directory above", []node{file("a/b/f", ""), link("a/b/c/up", "../../b")}, Options{}, &LinkCycleError{Path: "a/b/c/up", Target: "a/b", Excludes: []string{"/a/b/c/up"}}},
		{"cycle over two links", []node{file("a/f", ""), link("a/to b", "../b"), link("b/toa", "../a")}, Options{}, &LinkCycleError{Path: "a/to b/toa", Target: "a", Excludes: []string{`/a/to[ ]b/toa`}}},
		{"ignore file that is not UTF-8", []node{{Path: "d/.rayignore", Hex: "ff"}}, Options{}, &PatternError{Source: "d/.rayignore", Line: 1, Reason: "the file is not UTF-8"}},
		{"name that is not UTF-8", []node{file("f\xff", "")}, Options{}, &UnreadableError{Path: "f\xff", Err: errNotUTF8}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Scan(t.Context(), build(t, test.nodes...), test.options)
			var got *ray.Error
			if !errors.As(err, &got) || got.Kind != ray.KindInvalid {
				t.Fatalf("got %v, want a *ray.Error of KindInvalid", err)
			}
			if diff := cmp.Diff(test.want, got.Err, cmp.Comparer(func(a, b *UnreadableError) bool { return *a == *b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcludesLineMends(t *testing.T) {
	t.Parallel()
	dir := build(t, file("main.py", ""), file(".terraform/x", ""), file("a/.terraform/x", ""), file("x.tfstate", ""), file("tfplan", ""), node{Path: "saved ${x}", Text: planHead})
	options := Options{Excludes: []string{"docs"}}
	for range 3 {
		var refused *TerraformFilesError
		tree, err := Scan(t.Context(), dir, options)
		if err == nil {
			_, err = tree.Hash(t.Context())
		}
		if err == nil {
			return
		}
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
		options.Excludes = refused.Excludes
		t.Log(err)
	}
	t.Error("the excludes that the error names do not mend it")
}

const planHead = "PK\x03\x04\x14\x00\x08\x00\x08\x00\xdb\x69\x77\x5d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x09\x00tfplanUT\x05\x00"

func TestSavedPlanIsFoundByContent(t *testing.T) {
	t.Parallel()
	tree, err := Scan(t.Context(), build(t, file("main.py", ""), file("out/${name}.bin", planHead)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.Hash(t.Context())
	if !errors.As(err, new(*TerraformFilesError)) {
		t.Fatalf("got %v, want a *TerraformFilesError", err)
	}
	if want := `excludes = ["/out/$${name}.bin"]`; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want it to say %s", err, want)
	}
}

func TestDotTerraformAsRootIsFine(t *testing.T) {
	t.Parallel()
	dir := build(t, file(".terraform/modules/m/job.py", ""))
	scanHash(t, filepath.Join(dir, ".terraform", "modules", "m"), Options{})
	scanHash(t, filepath.Join(dir, ".terraform"), Options{})
}

func TestMissingAndNoDirectory(t *testing.T) {
	t.Parallel()
	dir := build(t, file("f", ""))
	if _, err := Scan(t.Context(), filepath.Join(dir, "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	_, err := Scan(t.Context(), filepath.Join(dir, "f"), Options{})
	if got := kindName(err); got != "NotDirectoryError" {
		t.Errorf("got %v, want a *NotDirectoryError", err)
	}
}

func TestLinksThatFanOutEnd(t *testing.T) {
	t.Parallel()
	var nodes []node
	for i := range 40 {
		nodes = append(nodes, link(fmt.Sprintf("d%02d/a", i), fmt.Sprintf("../d%02d", i+1)), link(fmt.Sprintf("d%02d/b", i), fmt.Sprintf("../d%02d", i+1)))
	}
	nodes = append(nodes, file("d40/f", strings.Repeat("x", 1000)))
	dir := build(t, nodes...)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Scan(ctx, dir, Options{MaxBytes: 1000})
	if took := time.Since(start); took > 15*time.Second {
		t.Errorf("obeyed the context after %v", took)
	}
	if !ray.IsKind(err, ray.KindTimeout) {
		t.Errorf("got %v, want KindTimeout", err)
	}
}

func TestChangesBetweenTheSteps(t *testing.T) {
	t.Parallel()
	changes := map[string]func(path string) error{
		"gone":        os.Remove,
		"longer":      func(p string) error { return os.WriteFile(p, []byte("content and more"), 0o644) },
		"shorter":     func(p string) error { return os.WriteFile(p, []byte("con"), 0o644) },
		"as long":     func(p string) error { return os.WriteFile(p, []byte("CONTENT"), 0o644) },
		"a directory": func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := build(t, file("a", "1"), file("sub/f", "content"), file("z", "2"))
			tree, _ := scanHash(t, dir, Options{})
			if err := change(filepath.Join(dir, "sub", "f")); err != nil {
				t.Fatal(err)
			}
			err := tree.WriteZip(t.Context(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), "sub/f") {
				t.Errorf("WriteZip: %v, want an error that names sub/f", err)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Errorf("WriteZip: %v is fs.ErrNotExist, which is kept for a missing directory", err)
			}
		})
	}
}

func TestHashSeesWhatGrewSinceScan(t *testing.T) {
	t.Parallel()
	dir := build(t, file("f", "1"))
	tree, err := Scan(t.Context(), dir, Options{MaxBytes: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{100, 1000} {
		if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		hash, err := tree.Hash(t.Context())
		if size == 1000 {
			if got := kindName(err); got != "TooLargeError" {
				t.Errorf("Hash: %v, want a *TooLargeError", err)
			}
			return
		}
		if err != nil || hash.Bytes != 100 {
			t.Errorf("Hash = %+v, %v, want 100 bytes", hash, err)
		}
		checkZip(t, dir, tree, []string{"f"})
	}
}

func TestWriteZipNeedsHash(t *testing.T) {
	t.Parallel()
	tree, err := Scan(t.Context(), build(t, file("f", "1")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.WriteZip(t.Context(), io.Discard); !errors.Is(err, errNotHashed) {
		t.Errorf("got %v, want %v", err, errNotHashed)
	}
}

func TestWriterErrorIsPassedOn(t *testing.T) {
	t.Parallel()
	tree, _ := scanHash(t, build(t, file("f", "1")), Options{})
	r, w := io.Pipe()
	r.CloseWithError(io.ErrClosedPipe)
	if err := tree.WriteZip(t.Context(), w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want the writer's own error", err)
	}
}

func TestCanceledContext(t *testing.T) {
	t.Parallel()
	dir := build(t, file("f", "1"))
	tree, _ := scanHash(t, dir, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, scan := Scan(ctx, dir, Options{})
	_, hash := tree.Hash(ctx)
	for step, err := range map[string]error{"Scan": scan, "Hash": hash, "WriteZip": tree.WriteZip(ctx, io.Discard)} {
		if !ray.IsKind(err, ray.KindCanceled) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want KindCanceled", step, err)
		}
	}
}

func TestStepsRunSideBySide(t *testing.T) {
	t.Parallel()
	tree, want := scanHash(t, makeTree(t, 200, 1<<20), Options{})
	var steps sync.WaitGroup
	for range 4 {
		steps.Go(func() {
			if got, err := tree.Hash(t.Context()); err != nil || got != want {
				t.Errorf("Hash = %v, %v, want %v", got, err, want)
			}
		})
		steps.Go(func() {
			if err := tree.WriteZip(t.Context(), io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	steps.Wait()
}
