package kuberay

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Finding is what stands against a change, or should be known before it.
type Finding struct {
	// Field is what it is about; its Key, or all of it, is empty where it is about the
	// group, or the RayCluster.
	Field Field
	// Summary is a clause without a full stop, Detail is sentences.
	Summary, Detail string
	// Refused is set where the change must not be written as things are.
	Refused bool
}

// Intent is what a change is for, besides its values.
type Intent struct {
	// Recreate allows a change for which the operator deletes all pods and makes them
	// anew.
	Recreate bool
}

// Findings says what stands against writing values to r: what the operator would refuse
// (after the API server took it), what Ray would not obey, and who else writes there.
func (r *RayCluster) Findings(values Values, intent Intent) []Finding {
	var out []Finding
	refuse := func(f Field, summary, format string, args ...any) {
		out = append(out, Finding{f, summary, fmt.Sprintf(format, args...), true})
	}
	warn := func(f Field, summary, format string, args ...any) {
		out = append(out, Finding{f, summary, fmt.Sprintf(format, args...), false})
	}
	whole := Field{}
	if r.Deleting() {
		refuse(whole, "it is being deleted", "RayCluster %s is being deleted since %s.", r.Name, r.meta.DeletionTimestamp.UTC().Format("2006-01-02T15:04:05Z07:00"))
	}
	if owner := r.Controller(); owner != "" {
		refuse(whole, "it belongs to "+owner, "%s made RayCluster %s and writes its spec: a change here would be lost with its next upgrade. Change the worker groups there.", owner, r.Name)
	}
	if m := r.spec.ManagedBy; m != "" && m != "ray.io/kuberay-operator" {
		refuse(whole, "it is managed by "+m, "RayCluster %s has managedBy = %q, so that the KubeRay operator here leaves it alone. Change the worker groups where it is managed.", r.Name, m)
	}
	out = append(out, r.groupFindings(values)...)
	changed := r.differing(values)
	if hashed := slices.DeleteFunc(slices.Clone(changed), bounds); len(hashed) > 0 && r.spec.UpgradeStrategy.Type == "Recreate" {
		what := fmt.Sprintf("RayCluster %s has upgradeStrategy Recreate, with which the operator deletes all of its pods, the head included, and makes them anew when %s changes. Jobs that run there are lost.", r.Name, hashed[0])
		if intent.Recreate {
			warn(hashed[0], "all pods are made anew", "%s", what)
		} else {
			refuse(hashed[0], "all pods would be made anew", "%s Set allow_recreate = true where that is wanted.", what)
		}
	}
	if len(changed) > 0 {
		if d := r.Deployers(); len(d) > 0 {
			warn(whole, "others write it too", "RayCluster %s was deployed by %s, whose next sync or upgrade may write its own values back. Leave the fields that this policy manages out there, or have them ignored (Argo CD: ignoreDifferences).", r.Name, strings.Join(d, " and "))
		}
	}
	if r.spec.Suspend {
		warn(whole, "it is suspended", "RayCluster %s is suspended and has no pods. The change counts once it is resumed.", r.Name)
	}
	return out
}

// bounds reports whether a field may change without new pods, whatever the upgrade
// strategy: it is not in the operator's hash of the spec.
func bounds(f Field) bool { return f.Key == MinReplicas || f.Key == MaxReplicas }

// groupFindings are those about worker groups and their autoscaler.
func (r *RayCluster) groupFindings(values Values) []Finding {
	var out []Finding
	add := func(refused bool, f Field, summary, format string, args ...any) {
		out = append(out, Finding{f, summary, fmt.Sprintf(format, args...), refused})
	}
	last := ""
	for _, f := range values.Fields() {
		if f.Group == "" {
			if !r.spec.EnableInTreeAutoscaling {
				add(false, f, "there is no autoscaler", "RayCluster %s has enableInTreeAutoscaling unset, so that nothing obeys %s.", r.Name, f)
			}
			continue
		}
		i := r.index(f.Group)
		switch {
		case f.Group == last:
		case i >= 0 && len(validation.IsValidLabelValue(f.Group)) > 0:
			add(true, Field{Group: f.Group}, "it can have no workers", "Worker group %q of RayCluster %s has a name that can't be the label of a pod, so that Kubernetes refuses each of its workers. Give the group another name: at most 63 letters, digits, -, _ and ., the first and the last a letter or digit.", f.Group, r.Name)
		case i >= 0:
			r.rangeFindings(r.spec.WorkerGroupSpecs[i], values, add)
		case slices.Contains(r.Groups(), f.Group):
			add(true, Field{Group: f.Group}, "the group is there twice", "RayCluster %s has more than one worker group %q, and the operator and Ray tell groups by name. Give each its own.", r.Name, f.Group)
		default:
			add(true, Field{Group: f.Group}, "there is no such group", "RayCluster %s has no worker group %q: %s.", r.Name, f.Group, r.groups())
		}
		last = f.Group
		if f.Key != IdleTimeoutSeconds || values[f] == nil || i < 0 {
			continue
		}
		switch {
		case !r.spec.EnableInTreeAutoscaling:
			add(true, f, "there is no autoscaler", "RayCluster %s has enableInTreeAutoscaling unset, and the operator refuses an idle timeout of a group then.", r.Name)
		case !r.v2():
			add(true, f, "it needs autoscaler v2", "Only autoscaler v2 knows idle timeouts of groups, and the operator stops reconciling the whole RayCluster %s where one is set and spec.autoscalerOptions.version is not v2 (unset is not enough, whatever the Ray version). Set it there, or use idle_timeout of the whole policy.", r.Name)
		}
	}
	return out
}

// rangeFindings compares the two bounds of a group as they would be.
func (r *RayCluster) rangeFindings(g workerGroup, values Values, add func(refused bool, f Field, summary, format string, args ...any)) {
	bound := func(key string) (v int64, ours, ok bool) {
		f := Field{g.GroupName, key}
		_, ours = values[f]
		value, _ := r.Value(f)
		if ours {
			value = values[f]
		}
		v, ok = value.(int64)
		return v, ours, ok
	}
	low, lowOurs, hasLow := bound(MinReplicas)
	high, highOurs, hasHigh := bound(MaxReplicas)
	switch {
	case !hasHigh || !hasLow || low <= high:
	case lowOurs && !highOurs:
		add(true, Field{g.GroupName, MinReplicas}, "it is above max_replicas", "min_replicas = %d is above the maxReplicas of %d that worker group %s has in RayCluster %s, and the operator stops reconciling such a RayCluster. Lower it, or set max_replicas too.", low, high, g.GroupName, r.Name)
	case highOurs:
		add(true, Field{g.GroupName, MaxReplicas}, "it is below min_replicas", "max_replicas = %d is below the minReplicas of %d that worker group %s has in RayCluster %s, and the operator stops reconciling such a RayCluster. Raise it, or set min_replicas too.", high, low, g.GroupName, r.Name)
	}
	if highOurs && hasHigh && g.Replicas != nil && *g.Replicas > high {
		who := "the operator, as there is no autoscaler, removes workers, busy ones too"
		if r.spec.EnableInTreeAutoscaling {
			who = "the autoscaler removes workers, busy ones too where none is idle"
		}
		add(false, Field{g.GroupName, MaxReplicas}, "fewer workers than there are", "Worker group %s of RayCluster %s has replicas = %d: to come down to max_replicas = %d %s.", g.GroupName, r.Name, *g.Replicas, high, who)
	}
}

// v2 reports whether the operator takes the autoscaler for v2.
func (r *RayCluster) v2() bool {
	if o := r.spec.AutoscalerOptions; o != nil && o.Version == "v2" {
		return true
	}
	for _, c := range r.spec.HeadGroupSpec.Template.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == "RAY_enable_autoscaler_v2" && (e.Value == "1" || strings.EqualFold(e.Value, "true")) {
				return true
			}
		}
	}
	return false
}
