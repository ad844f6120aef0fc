package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

// missingDirError is a working_dir that is not there: another resource may make
// it before the job is applied.
type missingDirError struct{ err error }

func (e *missingDirError) Error() string { return e.err.Error() }
func (e *missingDirError) Unwrap() error { return e.err }

// scan hashes the job's local directory.
func (r *jobResource) scan(ctx context.Context, m *jobModel, diags *diag.Diagnostics) (*workdir.Tree, workdir.Hash, error) {
	options := r.Pool().Packaging()
	options.Excludes = stringList(ctx, m.Excludes, diags)
	tree, err := workdir.Scan(ctx, m.WorkingDir.ValueString(), options)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, workdir.Hash{}, &missingDirError{err}
	}
	if err != nil {
		return nil, workdir.Hash{}, err
	}
	hash, err := tree.Hash(ctx)
	return tree, hash, err
}

// hashLike is the hash as state holds it. Where this machine has no executable
// bits (Windows), they are taken over from state.
func (r *jobResource) hashLike(hash workdir.Hash, state *jobModel) string {
	if hash.Exec == "" && state != nil {
		if parts := strings.Split(state.WorkingDirHash.ValueString(), ":"); len(parts) == 3 {
			hash.Exec = parts[2]
		}
	}
	return hash.String()
}

// changedDirError is a directory that is not what was planned.
type changedDirError struct{ planned, now string }

func (e *changedDirError) Error() string {
	return fmt.Sprintf("its content was %s when it was planned and is %s now; nothing was submitted. Plan again", e.planned, e.now)
}
