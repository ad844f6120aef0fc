package jobs

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// Package is what is to be on the cluster before a job is posted.
type Package struct {
	// URI is gcs://_ray_pkg_....zip, or another file in the GCS.
	URI string
	// Size is the number of bytes that Write writes.
	Size int64
	// Write writes the package; it may be called again after a failed upload.
	Write func(ctx context.Context, w io.Writer) error
}

// Request is one job to have run.
type Request struct {
	Inputs
	// Owner is the configuration's owner, part of the stamp.
	Owner string
	// Metadata is the user's, without the stamp.
	Metadata map[string]string
	// WorkingDirURI and PyModuleURIs are what the hashes among the inputs stand for,
	// and the remote URIs among them; Packages are those that are uploaded.
	WorkingDirURI string
	PyModuleURIs  []string
	Packages      []Package
	// KeepFailed adopts a FAILED attempt: the caller does not mind how it ended.
	KeepFailed bool
	// After is an attempt that is over: only a later one will do.
	After int
	// Hidden is the part of the runtime_env that is secret: the versions among the
	// inputs stand for it. It has no key of RuntimeEnv but env_vars, whose members
	// are joined.
	Hidden map[string]any
	// TellAttempt and CheckpointPath put EnvAttempt and EnvCheckpointPath into the
	// job's environment. They are no inputs.
	TellAttempt    bool
	CheckpointPath string
	// Queued, if set, is told from time to time that the job waits for its turn, for how
	// long and after how many. QueueTimeout bounds that; zero is no limit.
	Queued       func(waited time.Duration, active int)
	QueueTimeout time.Duration
	// Uncounted is set for a job of seconds that does the provider's own work: it is not
	// among the active ones, and does not wait for its turn.
	Uncounted bool
}

// Environment variables that a job is told beside its own. The prefix is reserved:
// no variable of an Inputs begins with it.
const (
	EnvPrefix         = "TF_RAY_"
	EnvAttempt        = EnvPrefix + "ATTEMPT"
	EnvCheckpointPath = EnvPrefix + "CHECKPOINT_PATH"
)

// Run is a submission that this process owns.
type Run struct {
	ID      string
	Attempt int
	// Stamp is what marks the job as this one.
	Stamp Stamp
	// ClusterID is the cluster that took it; empty where Ray is too old to tell.
	ClusterID string
	// Adopted is set where the job was there before; Job is then what was found.
	Adopted bool
	Job     ray.Job
	// RunningSince is when an earlier wait saw the job RUNNING first; zero where none did.
	RunningSince time.Time
	// Earlier are attempts that ended before and still have a record, oldest first.
	Earlier []ray.Job
}

// Decision is what Submit would do now.
type Decision struct {
	// ID is the id that would be submitted or adopted.
	ID      string
	Attempt int
	// Adopt is the job to take over, or nil where ID would be submitted.
	Adopt *ray.Job
	// Failed is the run before the one that would be submitted: it is FAILED or
	// STOPPED, so that the work is not done. Nil where there is none.
	Failed *ray.Job
	// Earlier are attempts that are over and that this process did not let go.
	Earlier []ray.Job
	// base and released are the sequence of ID, and what this process had let go of it.
	base     string
	released int
	// clear is the record under the user's own id that has to be deleted first.
	clear *ray.Job
}

func (r Request) stamp() (Stamp, error) {
	digest, err := r.Digest()
	return Stamp{Owner: r.Owner, Name: r.Name, Digest: digest}, err
}

// Decide says which attempt Submit would adopt or submit. It changes nothing.
// fresh asks the server anew instead of using the process's shared list.
func (e *Engine) Decide(ctx context.Context, r Request, fresh bool) (Decision, error) {
	stamp, err := r.stamp()
	if err != nil {
		return Decision{}, err
	}
	if r.SubmissionID != "" {
		return e.decideOwnID(ctx, r, stamp)
	}
	key, err := e.key(ctx)
	if err != nil {
		return Decision{}, err
	}
	base := BaseID(r.Owner, r.Name, stamp.Digest)
	found, err := e.attempts(ctx, base, fresh || r.After > 0)
	if err != nil {
		return Decision{}, err
	}
	last := 0
	for n, job := range found {
		if n > last && (Ours(job, stamp) || ghost(job)) {
			last = n
		}
	}
	released := e.o.Registry.Released(key, base)
	passed := max(released, r.After)
	next := func(n int) (Decision, error) {
		id := AttemptID(base, n)
		if other, ok := found[n]; ok {
			return Decision{}, &ForeignError{id, other, "it does not carry this configuration's stamp"}
		}
		return Decision{ID: id, Attempt: n, Earlier: earlier(found, stamp, released, n), base: base, released: released}, nil
	}
	switch {
	case passed > 0 && passed >= last:
		return next(passed + 1)
	case last == 0:
		return next(1)
	case ghost(found[last]):
		return next(last + 1)
	}
	// The look-up's rows may be old, or the GCS's own format: the Jobs API is asked
	// before anything rests on them.
	id := AttemptID(base, last)
	job, err := e.Get(ctx, id)
	if ray.IsKind(err, ray.KindNotFound) && !fresh {
		return e.Decide(ctx, r, true)
	}
	if err != nil {
		return Decision{}, err
	}
	if job, _, err = e.Reconcile(ctx, job); err != nil {
		return Decision{}, err
	}
	found[last] = job
	if adoptable(job.Status, r.KeepFailed) {
		return Decision{ID: id, Attempt: last, Adopt: &job, Earlier: earlier(found, stamp, released, last), base: base, released: released}, nil
	}
	d, err := next(last + 1)
	d.Failed = &job
	return d, err
}

// earlier are the attempts between released and n that are over.
func earlier(found map[int]ray.Job, stamp Stamp, released, n int) []ray.Job {
	var out []ray.Job
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if job := found[k]; k > released && k < n && job.Status.Terminal() && Ours(job, stamp) {
			out = append(out, job)
		}
	}
	return out
}

// adoptable: a live job is ours to wait for, a SUCCEEDED one has done the work;
// STOPPED was somebody's will, so only a new run can succeed.
func adoptable(s ray.JobStatus, keepFailed bool) bool {
	return !s.Terminal() || s == ray.JobSucceeded || s == ray.JobFailed && keepFailed
}

// decideOwnID decides for an id that the user chose: it never gets an attempt
// behind it, so a run under it can only be repeated once its record is gone.
func (e *Engine) decideOwnID(ctx context.Context, r Request, want Stamp) (Decision, error) {
	id := r.SubmissionID
	key, err := e.key(ctx)
	if err != nil {
		return Decision{}, err
	}
	for e.o.Registry.Ending(key, id) { // by a destroy beside this
		if !sleep(ctx, 100*time.Millisecond) {
			return Decision{}, e.canceled(ctx, "submit job "+id)
		}
	}
	d := Decision{ID: id, Attempt: 1, base: id, released: e.o.Registry.Released(key, id)}
	job, err := e.record(ctx, id)
	if ray.IsKind(err, ray.KindNotFound) {
		return d, nil
	}
	if err != nil {
		return Decision{}, err
	}
	if ghost(job) {
		d.clear = &job
		return d, nil
	}
	got, marked := StampOf(job.Metadata)
	switch {
	case !marked || got.Owner != want.Owner || got.Name != want.Name:
		return Decision{}, &ForeignError{id, job, "it does not carry this configuration's stamp"}
	case d.released > 0 && job.Status.Terminal():
		return Decision{}, &ForeignError{id, job, "its previous run was kept by on_destroy; an own submission_id can run again only with on_destroy = \"delete\", or under another id"}
	case job.Status == ray.JobFailed && r.KeepFailed && got.Same(want):
		d.Adopt = &job
		return d, nil
	case job.Status == ray.JobFailed || job.Status == ray.JobStopped:
		d.Failed, d.clear = &job, &job
		return d, nil
	case !got.Same(want):
		return Decision{}, &ForeignError{id, job, "it was submitted with other inputs"}
	}
	d.Adopt = &job
	return d, nil
}

// Submit has the request run once: it adopts the attempt that is there, or posts
// the next. On an error nothing of it runs, unless ray.OutcomeUnknown(err): then
// it may, under the Run's ID, and the next Submit of the same request finds it.
func (e *Engine) Submit(ctx context.Context, r Request) (Run, error) {
	stamp, err := r.stamp()
	if err != nil {
		return Run{}, err
	}
	clusterID, err := e.clusterID(ctx)
	if err != nil {
		return Run{}, err
	}
	key, err := e.key(ctx)
	if err != nil {
		return Run{}, err
	}
	for round := 0; ; round++ {
		d, err := e.Decide(ctx, r, round > 0)
		if err != nil {
			return Run{}, err
		}
		run := Run{ID: d.ID, Attempt: d.Attempt, Stamp: stamp, ClusterID: clusterID, Earlier: d.Earlier}
		run.Stamp.Attempt = d.Attempt
		switch e.o.Registry.Own(key, d.base, d.ID, d.released) {
		case OwnedByAnother:
			return run, &ClaimedError{d.ID}
		case Outdated:
			continue
		case Owned:
		}
		if d.Adopt != nil {
			run.Adopted, run.Job = true, *d.Adopt
			if !d.Adopt.Status.Terminal() && !r.Uncounted {
				e.o.Registry.enter(key, d.ID, 0)
			}
			return run, nil
		}
		if err = e.takePlace(ctx, r, key, d.ID); err == nil {
			if err = e.post(ctx, r, run, d.clear); err == nil {
				run.ClusterID = e.tookIt(ctx, run)
				return run, nil
			}
			if !ray.OutcomeUnknown(err) {
				e.o.Registry.leave(key, d.ID)
			}
		}
		e.o.Registry.Disown(key, d.ID)
		// Somebody was there first since the look-up: look again.
		if ray.IsKind(err, ray.KindConflict) && round < 4 {
			continue
		}
		return run, err
	}
}

// tookIt is the id of the cluster that took a run. A head that was replaced while
// the package was uploaded, or the POST repeated, is another cluster than the one
// that was asked first.
func (e *Engine) tookIt(ctx context.Context, run Run) string {
	now, err := e.clusterID(ctx)
	if err != nil || now == run.ClusterID {
		return run.ClusterID
	}
	if there, err := e.arrived(ctx, run); err != nil || !there {
		return run.ClusterID // it was replaced after it had taken the job
	}
	return now
}

// post submits one id until its outcome is known. There are never two requests of
// one id under way from here, and Ray's check for a duplicate id is atomic, so a
// repeated POST can't run a job twice. before is the record of an earlier run under
// the id, which is deleted first.
func (e *Engine) post(ctx context.Context, r Request, run Run, before *ray.Job) error {
	api, err := e.o.Dashboard(ctx)
	if err != nil {
		return err
	}
	if before != nil {
		if err := e.remove(ctx, run.ID, *before); err != nil {
			return err
		}
	}
	body := r.submission(run)
	var unknown error // the last POST whose outcome stayed open
	deadline := time.Now().Add(e.o.MaxUnreachable)
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		for i := range r.Packages {
			if err := e.ensurePackage(ctx, api, &r.Packages[i]); err != nil {
				return firstOf(unknown, err)
			}
		}
		if ctx.Err() != nil {
			return firstOf(unknown, e.canceled(ctx, "submit job "+run.ID))
		}
		// The request under way is given a moment to be answered when the caller
		// gives up: a known outcome is worth 1.5 s.
		postCtx, cancel := ray.WithGrace(ctx, 1500*time.Millisecond)
		err := api.Submit(postCtx, body)
		cancel()
		switch {
		case err == nil:
			return nil
		case ray.OutcomeUnknown(err):
			unknown = err
		case ray.IsKind(err, ray.KindConflict) && unknown == nil:
			return err
		case ray.IsKind(err, ray.KindConflict):
			// one of our own POSTs arrived after all, or another's job: look
		case ray.IsKind(err, ray.KindUnavailable):
			// nothing was submitted (connection refused, no agent yet): try again
		default:
			return firstOf(unknown, err)
		}
		if unknown != nil {
			there, lookErr := e.arrived(ctx, run)
			if there || errors.As(lookErr, new(*ForeignError)) {
				return lookErr
			}
		}
		if time.Now().After(deadline) || !sleep(ctx, pause) {
			return firstOf(unknown, err)
		}
	}
}

// arrived looks whether a job whose POST was not answered is there.
func (e *Engine) arrived(ctx context.Context, run Run) (bool, error) {
	job, err := e.getLate(ctx, run.ID)
	if err != nil {
		return false, err
	}
	if !Ours(job, run.Stamp) {
		return false, &ForeignError{run.ID, job, "it does not carry this configuration's stamp"}
	}
	return true, nil
}

// ensurePackage uploads a package that the cluster does not have. The look pins
// the package for 600 s, so it is done before each POST. Jobs of one directory
// upload it once.
func (e *Engine) ensurePackage(ctx context.Context, api *dashboard.Client, p *Package) error {
	unlock, err := e.lockPackage(ctx, p.URI)
	if err != nil {
		return err
	}
	defer unlock()
	there, err := api.HasPackage(ctx, p.URI)
	if err != nil || there {
		return err
	}
	read, write := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := p.Write(ctx, write)
		write.CloseWithError(err)
		failed <- err
	}()
	err = api.PutPackage(ctx, p.URI, p.Size, read)
	read.CloseWithError(io.ErrClosedPipe)
	// What went wrong in making the package is the better account of the two.
	if cause := <-failed; cause != nil && !errors.Is(cause, io.ErrClosedPipe) {
		return cause
	}
	return err
}

// lockPackage lets one job at a time look for and upload a package.
func (e *Engine) lockPackage(ctx context.Context, uri string) (unlock func(), err error) {
	e.mu.Lock()
	if e.packages == nil {
		e.packages = map[string]chan struct{}{}
	}
	lock, ok := e.packages[uri]
	if !ok {
		lock = make(chan struct{}, 1)
		e.packages[uri] = lock
	}
	e.mu.Unlock()
	select {
	case lock <- struct{}{}:
		return func() { <-lock }, nil
	case <-ctx.Done():
		return nil, e.canceled(ctx, "upload package "+uri)
	}
}

func (r Request) submission(run Run) ray.Submission {
	env := r.env()
	if r.WorkingDirURI != "" {
		env["working_dir"] = r.WorkingDirURI
	}
	if len(r.PyModuleURIs) > 0 {
		env["py_modules"] = r.PyModuleURIs
	}
	r.hide(env)
	r.tell(env, run.Attempt)
	return ray.Submission{
		Entrypoint: r.Entrypoint, SubmissionID: run.ID, RuntimeEnv: env, Metadata: run.Stamp.Mark(r.Metadata),
		NumCPUs: r.NumCPUs, NumGPUs: r.NumGPUs, MemoryBytes: r.MemoryBytes, Resources: r.Resources, LabelSelector: ray.LabelSelector(r.LabelSelector).Normal(),
	}
}

// hide puts the hidden part into env.
func (r Request) hide(env map[string]any) {
	open, _ := env["env_vars"].(map[string]any)
	maps.Copy(env, r.Hidden)
	if hidden, ok := r.Hidden["env_vars"].(map[string]any); ok {
		vars := maps.Clone(hidden)
		maps.Copy(vars, open)
		env["env_vars"] = vars
	}
}

// tell puts what the job is told into its env_vars.
func (r Request) tell(env map[string]any, attempt int) {
	told := map[string]any{}
	if r.TellAttempt {
		told[EnvAttempt] = strconv.Itoa(attempt)
	}
	if r.CheckpointPath != "" {
		told[EnvCheckpointPath] = r.CheckpointPath
	}
	own, ok := env["env_vars"].(map[string]any)
	if len(told) == 0 || !ok && env["env_vars"] != nil {
		return // what is no object is Ray's to refuse
	}
	maps.Copy(told, own)
	env["env_vars"] = told
}

// firstOf returns the first error there is: an outcome left open weighs more than
// what went wrong afterwards.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
