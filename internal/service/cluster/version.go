package cluster

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// constraint is a list of conditions that all must hold, in Terraform's own
// syntax: ">= 2.50, < 3".
type constraint []condition

type condition struct {
	op string
	v  ray.Version
	// parts is how many numbers were written; "~> 2.50" and "~> 2.50.1" differ by it.
	parts int
}

// operators, longer ones before their beginnings.
var operators = [...]string{">=", "<=", "!=", "~>", ">", "<", "="}

func parseConstraint(s string) (constraint, error) {
	var out constraint
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		c := condition{op: "="}
		for _, op := range operators {
			if rest, ok := strings.CutPrefix(part, op); ok {
				c.op, part = op, strings.TrimSpace(rest)
				break
			}
		}
		numbers := strings.Split(part, ".")
		if part == "" || len(numbers) > 3 {
			return nil, fmt.Errorf("%q is not a version of one to three numbers, such as 2.50", part)
		}
		for i, n := range numbers {
			v, err := strconv.Atoi(n)
			if err != nil || v < 0 {
				return nil, fmt.Errorf("%q is not a version of one to three numbers, such as 2.50", part)
			}
			c.v[i] = v
		}
		if c.parts = len(numbers); c.op == "~>" && c.parts == 1 {
			return nil, fmt.Errorf("~> needs at least two numbers, as in ~> %s.0", part)
		}
		out = append(out, c)
	}
	return out, nil
}

// allows reports whether a Ray version meets all conditions. A pre-release counts
// as its release.
func (c constraint) allows(v ray.Version) bool {
	for _, cond := range c {
		if !cond.allows(v) {
			return false
		}
	}
	return true
}

func (c condition) allows(v ray.Version) bool {
	switch c.op {
	case ">=":
		return !v.Less(c.v)
	case ">":
		return c.v.Less(v)
	case "<=":
		return !c.v.Less(v)
	case "<":
		return v.Less(c.v)
	case "!=":
		return v != c.v
	case "~>":
		next := c.v
		next[c.parts-1] = 0
		next[c.parts-2]++
		return !v.Less(c.v) && v.Less(next)
	}
	return v == c.v
}

// mismatch says why a cluster's version does not meet the constraint, or "".
func mismatch(required, version string) string {
	c, err := parseConstraint(required)
	if err != nil || required == "" {
		return "" // the validator has said so
	}
	v, ok := ray.ParseVersion(version)
	if !ok {
		return fmt.Sprintf("required_ray_version is %q, and the cluster runs %q, which is no version to compare", required, version)
	}
	if c.allows(v) {
		return ""
	}
	return fmt.Sprintf("required_ray_version is %q, and the cluster runs Ray %s", required, version)
}

// constraintValidator refuses what is no constraint.
type constraintValidator struct{}

func (constraintValidator) Description(context.Context) string {
	return "must be a version constraint such as \">= 2.50, < 3\""
}

func (v constraintValidator) MarkdownDescription(ctx context.Context) string {
	return v.Description(ctx)
}

func (constraintValidator) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if _, err := parseConstraint(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a version constraint", err.Error()+". Write conditions with =, !=, >, >=, <, <= or ~>, separated by commas, for example \">= 2.50, < 3\".")
	}
}
