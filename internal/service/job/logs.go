package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/ray-iac/terraform-provider-ray/internal/conn"
	"github.com/ray-iac/terraform-provider-ray/internal/fw"
	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

func logAttributes() map[string]schema.Attribute {
	return map[string]schema.Attribute{
		"log_file": schema.StringAttribute{
			Optional: true,
			MarkdownDescription: "File on the machine that runs Terraform, to which the job's whole log is copied while apply waits: some seconds behind the job, complete when apply has seen the job's end (with `wait_for = \"RUNNING\"` as far as the job got meanwhile). " +
				"Its directory is created, the file is readable by its owner only, and each apply that waits for the job writes it anew; attempts of a `retry` follow each other in it. Nothing in it is masked. " +
				"A relative path begins where Terraform runs. What became of the file is never drift. Never replaces the job.",
			Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
		},
	}
}

// validateLogs checks what the configuration alone decides.
func validateLogs(m *jobModel, diags *diag.Diagnostics) {
	if !m.LogFile.IsNull() && m.goal() == jobs.Submitted && !m.WaitFor.IsUnknown() {
		diags.AddAttributeWarning(path.Root("log_file"), "log_file is never written",
			"With wait_for = \"SUBMITTED\" apply does not wait for the job, so that there is no log to copy. Set wait_for to RUNNING or SUCCEEDED, or read the log later with the data source ray_job_logs.")
	}
}

// planLogs says before the apply that log_file can't be written.
func (r *jobResource) planLogs(ctx context.Context, m *jobModel, diags *diag.Diagnostics) {
	if m.LogFile.ValueString() == "" || m.goal() == jobs.Submitted {
		return
	}
	if err := r.checkLogFile(ctx, m); err != nil {
		fw.AddError(diags, path.Root("log_file"), fmt.Sprintf("log_file of job %s can't be written", m.label()), err)
	}
}

// checkLogFile looks for what will keep the file from being written, and changes
// nothing.
func (r *jobResource) checkLogFile(ctx context.Context, m *jobModel) error {
	file, err := filepath.Abs(m.LogFile.ValueString())
	if err != nil {
		return err
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", file)
	}
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		if err == nil || dir == filepath.Dir(dir) {
			break
		}
	}
	return r.checkLogOutside(ctx, m, file)
}

// checkLogOutside refuses a file that would be packaged with the job: each run would
// change it, and be another job.
func (r *jobResource) checkLogOutside(ctx context.Context, m *jobModel, file string) error {
	var ignored diag.Diagnostics // those of the packages are told where they are made
	options := r.Pool().Packaging()
	options.Excludes = stringList(ctx, m.Excludes, &ignored)
	for _, s := range append(m.workingDir(m.WorkingDirHash), m.modules(ctx, m.PyModuleHashes, &ignored)...) {
		if s.remote() {
			continue
		}
		dir, err := filepath.Abs(s.where)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(resolved(dir), resolved(file))
		below = filepath.ToSlash(below)
		outside := err != nil || below == ".." || strings.HasPrefix(below, "../")
		if outside {
			continue
		}
		if packaged, err := workdir.Takes(ctx, dir, below, options); err == nil && packaged {
			return fmt.Errorf("it lies in %s, so that each run would change the job's inputs. Write it elsewhere, or leave it out of the package: excludes = [%q]", s.what, "/"+below)
		}
	}
	return nil
}

// resolved is p with the links of what is there of it followed.
func resolved(p string) string {
	rest := ""
	for at := p; ; at = filepath.Dir(at) {
		if there, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(there, rest)
		}
		if at == filepath.Dir(at) {
			return p
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// logFile is the copy of a job's log that an apply makes; nil where none is wanted.
type logFile struct {
	engine *jobs.Engine
	path   string
	file   *os.File
	copy   *jobs.LogCopy
	made   bool // by this apply
	used   bool
	err    error // of the last attempt's end
}

type logFilesKey struct{}

// logFiles are those that the applies of this process write.
type logFiles struct{ open sync.Map }

// openLog opens log_file before anything is submitted. It returns nil without an
// error in diags where there is none.
func (r *jobResource) openLog(ctx context.Context, cluster *conn.Cluster, m *jobModel, diags *diag.Diagnostics) *logFile {
	if m.LogFile.ValueString() == "" || m.goal() == jobs.Submitted {
		return nil
	}
	summary := fmt.Sprintf("log_file of job %s can't be written", m.label())
	l, err := r.makeLog(ctx, cluster, m)
	if err != nil {
		fw.AddError(diags, path.Root("log_file"), summary, err)
		return nil
	}
	return l
}

func (r *jobResource) makeLog(ctx context.Context, cluster *conn.Cluster, m *jobModel) (*logFile, error) {
	if err := r.checkLogFile(ctx, m); err != nil {
		return nil, err
	}
	name, err := filepath.Abs(m.LogFile.ValueString())
	if err != nil {
		return nil, err
	}
	all, _ := cluster.Value(logFilesKey{}, func() any { return new(logFiles) }).(*logFiles)
	if _, taken := all.open.LoadOrStore(name, true); taken {
		return nil, errors.New("another job of this apply writes the same file. Give each its own, for example by its name")
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { //nolint:gosec // as any directory of a user's; the file has the log's secrets
		return nil, err
	}
	_, err = os.Stat(name)
	l := &logFile{engine: cluster.Engine(), path: name, made: errors.Is(err, fs.ErrNotExist)}
	if l.file, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	if err := l.file.Chmod(0o600); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	l.copy = l.engine.NewLogCopy(l.file)
	return l, nil
}

// follow copies what the run writes until the returned function is called.
func (l *logFile) follow(ctx context.Context, id string) (stop func()) {
	if l == nil {
		return func() {}
	}
	l.used = true
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.copy.Follow(ctx, id)
	}()
	return func() {
		cancel()
		<-done
	}
}

// finish copies the rest of what a run wrote that is over.
func (l *logFile) finish(ctx context.Context, job ray.Job) {
	if l != nil && job.Status.Terminal() {
		l.used = true
		l.err = l.copy.Finish(ctx, job)
	}
}

// close closes the file; what is missing in it is a warning, for the job ran.
func (l *logFile) close(diags *diag.Diagnostics) {
	if l == nil {
		return
	}
	err := errors.Join(l.err, l.file.Close())
	if !l.used && l.made {
		err = errors.Join(err, os.Remove(l.path))
	}
	if err != nil {
		fw.AddWarning(diags, path.Root("log_file"), "log_file is incomplete", fmt.Errorf("%s does not hold the whole log of the job. The job itself is as its status says: %w", l.path, err))
	}
}
