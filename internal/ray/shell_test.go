package ray_test

import (
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// The wanted strings are what Python's shlex.join printed.
func TestShellJoin_quotesAsShlex(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"python", "train.py"}, "python train.py"},
		{[]string{""}, "''"},
		{[]string{"echo", "a b"}, "echo 'a b'"},
		{[]string{"echo", "it's"}, `echo 'it'"'"'s'`},
		{[]string{"echo", "$HOME;rm"}, "echo '$HOME;rm'"},
		{[]string{"a@%_-+=:,./b"}, "a@%_-+=:,./b"},
		{[]string{"é"}, "'é'"},
		{[]string{"a\nb", "~", "#"}, "'a\nb' '~' '#'"},
	} {
		if got := ray.ShellJoin(c.args); got != c.want {
			t.Errorf("ShellJoin(%q) = %q, want %q", c.args, got, c.want)
		}
	}
}
