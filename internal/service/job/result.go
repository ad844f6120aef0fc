package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// maxDepth is how deep a result may be nested.
const maxDepth = 100

// deliver reads the result of a job that is over, where the apply waited for it and
// minds nothing: once, for state keeps it. Whatever is wrong with it, the job ran.
func (w *waiting) deliver(ctx context.Context, out outcome, diags *diag.Diagnostics) {
	if out != keep || w.lookOnly || w.model.goal() == jobs.Submitted || !w.model.terminal() {
		return
	}
	w.model.Result = types.DynamicNull()
	text, err := w.result(ctx)
	switch {
	case errors.Is(err, jobs.ErrNoResult), ray.IsKind(err, ray.KindNotFound): // a job that Ray forgot
		return
	case err == nil:
		var v attr.Value
		if v, err = dynamicOf(ctx, text); err == nil {
			if v != nil {
				w.model.Result = types.DynamicValue(v)
			}
			return
		}
	}
	diags.AddAttributeWarning(path.Root("result"), fmt.Sprintf("Job %s has no result", w.model.label()),
		fmt.Sprintf("The job is %s, but the result that it wrote could not be taken over: %v. result is null; to get it, run the job again with -replace.", w.model.Status.ValueString(), err))
}

func (w *waiting) result(ctx context.Context) ([]byte, error) {
	if w.log != nil && w.log.err == nil && w.log.used {
		return w.log.copy.Result()
	}
	job := w.last
	if job.SubmissionID == "" {
		var err error
		if job, err = w.engine.Get(ctx, w.run.ID); err != nil {
			return nil, err
		}
	}
	return w.engine.Result(ctx, job)
}

// dynamicOf is a JSON text as a value of Terraform: objects, tuples, strings, numbers
// and bools, as jsondecode makes them. JSON's null alone is nil.
func dynamicOf(ctx context.Context, text []byte) (attr.Value, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if v == nil {
		return nil, nil //nolint:nilnil // null is a value here
	}
	return valueOf(ctx, v, 0)
}

func valueOf(ctx context.Context, v any, depth int) (attr.Value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case string:
		return types.StringValue(v), nil
	case bool:
		return types.BoolValue(v), nil
	case json.Number:
		return numberOf(v)
	case []any:
		kinds, values := make([]attr.Type, len(v)), make([]attr.Value, len(v))
		for i, e := range v {
			var err error
			if values[i], err = valueOf(ctx, e, depth+1); err != nil {
				return nil, err
			}
			kinds[i] = values[i].Type(ctx)
		}
		return types.TupleValueMust(kinds, values), nil
	case map[string]any:
		kinds, values := make(map[string]attr.Type, len(v)), make(map[string]attr.Value, len(v))
		for name, e := range v {
			var err error
			if values[name], err = valueOf(ctx, e, depth+1); err != nil {
				return nil, err
			}
			kinds[name] = values[name].Type(ctx)
		}
		return types.ObjectValueMust(kinds, values), nil
	}
	return types.DynamicNull(), nil
}

// numberOf keeps all digits. A number beyond those of floating point would be
// written out with its zeros.
func numberOf(n json.Number) (attr.Value, error) {
	f, _, err := big.ParseFloat(n.String(), 10, 512, big.ToNearestEven)
	if err != nil {
		return nil, err
	}
	if exp := f.MantExp(nil); f.IsInf() || exp > 1100 || exp < -1100 {
		return nil, errors.New("it holds a number that is out of range")
	}
	return types.NumberValue(f), nil
}
