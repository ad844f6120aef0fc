//go:build unix

package workdir

import (
	"path/filepath"
	"syscall"
	"testing"
)

func TestPipesAndSocketsAreNamesWithoutContent(t *testing.T) {
	t.Parallel()
	dir := build(t, file("f", "1"))
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, got := scanHash(t, dir, Options{})
	_, want := scanHash(t, build(t, file("f", "1"), link("pipe", "nowhere")), Options{})
	if got != want {
		t.Errorf("got %+v, want what a broken link makes, %+v", got, want)
	}
	checkZip(t, dir, tree, []string{"f"})
}
