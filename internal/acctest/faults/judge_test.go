package faults

import (
	"testing"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/dashboard"
)

// A proof by counting is worth what its counters are.
func TestJudge_seesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const addr = "ray_job.j0"
	stamp := map[string]string{"terraform.ray-iac/owner": "faults"}
	for name, c := range map[string]struct {
		job    config
		befall func(x *trial, d *desk, submit func(ray.Submission))
		want   func(findings) []string
	}{
		"a run is repeated": {
			befall: func(_ *trial, d *desk, submit func(ray.Submission)) {
				submit(ray.Submission{SubmissionID: "again", Entrypoint: d.entrypoint(addr)})
			},
			want: func(f findings) []string { return f.duplicates },
		},
		"a live run is repeated": {
			job: config{"entrypoint": "sleep 3600", "wait_for": "RUNNING"},
			befall: func(_ *trial, _ *desk, submit func(ray.Submission)) {
				submit(ray.Submission{SubmissionID: "again", Entrypoint: "sleep 3600"})
			},
			want: func(f findings) []string { return f.duplicates },
		},
		"a job that no state holds": {
			befall: func(_ *trial, _ *desk, submit func(ray.Submission)) {
				submit(ray.Submission{SubmissionID: "left", Entrypoint: "true", Metadata: stamp})
			},
			want: func(f findings) []string { return f.orphans },
		},
		"a run that no state holds": {
			job:    config{"entrypoint": "sleep 3600", "wait_for": "RUNNING"},
			befall: func(_ *trial, d *desk, _ func(ray.Submission)) { d.Forget(addr) },
			want:   func(f findings) []string { return f.orphans },
		},
		"a state without its job": {
			befall: func(_ *trial, d *desk, _ func(ray.Submission)) { d.Forget(addr) },
			want:   func(f findings) []string { return f.lost },
		},
		"another run that never came": {
			befall: func(_ *trial, d *desk, _ func(ray.Submission)) { d.ask(addr) },
			want:   func(f findings) []string { return f.lost },
		},
		"a green apply on a job that fails": {
			job: config{"entrypoint": "exit 3", "wait_for": "SUBMITTED"},
			want: func(f findings) []string {
				return f.untruthful
			},
		},
		"an apply that fails": {
			job:    config{"entrypoint": "exit 3", "wait_for": "SUBMITTED"},
			befall: func(x *trial, d *desk, _ func(ray.Submission)) { x.fake.Down(); d.settle() },
			want:   func(f findings) []string { return f.untruthful },
		},
		"a plan that is not empty": {
			befall: func(_ *trial, d *desk, _ func(ray.Submission)) {
				d.job(addr, config{"rerun_on": []any{"SUCCEEDED"}})
				d.ask(addr)
				d.settle()
			},
			want: func(f findings) []string { return f.untruthful },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTrial(t, 1)
			d := x.desk()
			d.job(addr, c.job)
			d.clean()
			api, err := dashboard.New(dashboard.Options{URL: x.fake.URL()})
			if err != nil {
				t.Fatal(err)
			}
			if c.befall != nil {
				c.befall(x, d, func(s ray.Submission) {
					if err := api.Submit(t.Context(), s); err != nil {
						t.Fatal(err)
					}
				})
			}
			if found := x.judge(); len(c.want(found)) == 0 {
				t.Errorf("it was not seen; found %+v", found)
			}
		})
	}
}

func TestJudge_isContentWithWhatIsRight(t *testing.T) {
	t.Parallel()
	x := newTrial(t, 1)
	d := x.desk()
	x.someJobs(d, false)
	d.clean()
	x.change(d, false)
	d.settle()
	found := x.judge()
	if !found.none() {
		t.Errorf("found %+v", found)
	}
	if _, asked := x.asks[d.entrypoint("ray_job.j0")]; !asked || len(x.fake.Runs()) < 2 {
		t.Errorf("asks %v, runs %+v", x.asks, x.fake.Runs())
	}
}
