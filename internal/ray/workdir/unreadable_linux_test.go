package workdir

import (
	"errors"
	"testing"
)

// Linux answers EIO to whoever reads /proc/self/mem from its beginning, also to root.
func TestUnreadableFileIsNamed(t *testing.T) {
	t.Parallel()
	tree, err := Scan(t.Context(), build(t, file("f", "1"), link("d/bad", "/proc/self/mem")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.Hash(t.Context())
	var got *UnreadableError
	if !errors.As(err, &got) || got.Path != "d/bad" {
		t.Errorf("got %v, want an *UnreadableError of d/bad", err)
	}
}
