package kuberay

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// parse is the RayCluster ml/ray of this JSON, with metadata where there is none.
func parse(t *testing.T, object string) *RayCluster {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(object), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace("ml")
	u.SetName("ray")
	u.SetUID("uid")
	r, err := (&Client{}).parse(call{}, u)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const groups = `"workerGroupSpecs": [
	{"groupName": "cpu", "replicas": 4, "minReplicas": 1, "maxReplicas": 5, "template": {}},
	{"groupName": "gpu", "minReplicas": 0, "maxReplicas": 2, "template": {}}]`

func TestFindings(t *testing.T) {
	v2 := `"enableInTreeAutoscaling": true, "autoscalerOptions": {"version": "v2", "idleTimeoutSeconds": 60}, `
	tests := map[string]struct {
		object   string
		values   string
		recreate bool
		want     []string // summaries, of what must not be written with a !
	}{
		"nothing": {
			object: `{"spec": {` + v2 + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 2, "maxReplicas": 9, "idleTimeoutSeconds": 30}}, "autoscalerOptions": {"idleTimeoutSeconds": 90}}`,
		},
		"no such group": {
			object: `{"spec": {` + v2 + groups + `}}`,
			values: `{"workerGroupSpecs": {"tpu": {"minReplicas": 2, "maxReplicas": 9}}}`,
			want:   []string{"!there is no such group"},
		},
		"a group twice": {
			object: `{"spec": {"workerGroupSpecs": [{"groupName": "cpu"}, {"groupName": "cpu"}]}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 2}}}`,
			want:   []string{"!the group is there twice"},
		},
		"min above the max that is there": {
			object: `{"spec": {` + v2 + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 6}}}`,
			want:   []string{"!it is above max_replicas"},
		},
		"max below the min that is there, and below what runs": {
			object: `{"spec": {` + v2 + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"maxReplicas": 0}}}`,
			want:   []string{"!it is below min_replicas", "fewer workers than there are"},
		},
		"a max below what runs, no autoscaler": {
			object: `{"spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"maxReplicas": 3}}}`,
			want:   []string{"fewer workers than there are"},
		},
		"a name that no pod can have": {
			object: `{"spec": {"workerGroupSpecs": [{"groupName": "a/b"}]}}`,
			values: `{"workerGroupSpecs": {"a/b": {"minReplicas": 1, "maxReplicas": 3}}}`,
			want:   []string{"!it can have no workers"},
		},
		"an idle timeout of a group without v2": {
			object: `{"spec": {"enableInTreeAutoscaling": true, ` + groups + `}}`,
			values: `{"workerGroupSpecs": {"gpu": {"idleTimeoutSeconds": 30}}}`,
			want:   []string{"!it needs autoscaler v2"},
		},
		"v2 by the head's environment": {
			object: `{"spec": {"enableInTreeAutoscaling": true, "headGroupSpec": {"template": {"spec": {"containers": [{"env": [{"name": "RAY_enable_autoscaler_v2", "value": "1"}]}]}}}, ` + groups + `}}`,
			values: `{"workerGroupSpecs": {"gpu": {"idleTimeoutSeconds": 30}}}`,
		},
		"idle timeouts without an autoscaler": {
			object: `{"spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"gpu": {"idleTimeoutSeconds": 30}}, "autoscalerOptions": {"idleTimeoutSeconds": 90}}`,
			want:   []string{"there is no autoscaler", "!there is no autoscaler"},
		},
		"an idle timeout under Recreate": {
			object: `{"spec": {"upgradeStrategy": {"type": "Recreate"}, ` + v2 + groups + `}}`,
			values: `{"autoscalerOptions": {"idleTimeoutSeconds": 90}}`,
			want:   []string{"!all pods would be made anew"},
		},
		"the same, wanted": {
			object:   `{"spec": {"upgradeStrategy": {"type": "Recreate"}, ` + v2 + groups + `}}`,
			values:   `{"autoscalerOptions": {"idleTimeoutSeconds": 90}}`,
			recreate: true,
			want:     []string{"all pods are made anew"},
		},
		"bounds under Recreate, and an idle timeout that is there": {
			object: `{"spec": {"upgradeStrategy": {"type": "Recreate"}, ` + v2 + groups + `}}`,
			values: `{"autoscalerOptions": {"idleTimeoutSeconds": 60}, "workerGroupSpecs": {"cpu": {"minReplicas": 2}}}`,
		},
		"of a RayService": {
			object: `{"metadata": {"ownerReferences": [{"kind": "RayService", "name": "llm", "controller": true}]}, "spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 2}}}`,
			want:   []string{"!it belongs to RayService ml/llm"},
		},
		"of a RayJob, by label": {
			object: `{"metadata": {"labels": {"ray.io/originated-from-crd": "RayJob", "ray.io/originated-from-cr-name": "nightly"}}, "spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 2}}}`,
			want:   []string{"!it belongs to RayJob ml/nightly"},
		},
		"managed by another cluster, being deleted, suspended": {
			object: `{"metadata": {"deletionTimestamp": "2026-01-02T03:04:05Z"}, "spec": {"managedBy": "kueue.x-k8s.io/multikueue", "suspend": true, ` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 1}}}`,
			want:   []string{"!it is being deleted", "!it is managed by kueue.x-k8s.io/multikueue", "it is suspended"},
		},
		"deployed by Helm and Argo CD": {
			object: `{"metadata": {"annotations": {"meta.helm.sh/release-name": "ray", "argocd.argoproj.io/tracking-id": "team:ray.io/RayCluster:ml/ray"}}, "spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 2}}}`,
			want:   []string{"others write it too"},
		},
		"deployed by Helm, nothing to write": {
			object: `{"metadata": {"annotations": {"meta.helm.sh/release-name": "ray"}}, "spec": {` + groups + `}}`,
			values: `{"workerGroupSpecs": {"cpu": {"minReplicas": 1}}}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var values Values
			if err := json.Unmarshal([]byte(test.values), &values); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range parse(t, test.object).Findings(values, Intent{Recreate: test.recreate}) {
				mark := ""
				if f.Refused {
					mark = "!"
				}
				got = append(got, mark+f.Summary)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestDeployers(t *testing.T) {
	r := parse(t, `{"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "argocd.argoproj.io/instance": "team"}, "annotations": {"meta.helm.sh/release-name": "ray"}}, "spec": {}}`)
	if d := cmp.Diff([]string{"Helm release ray", "Argo CD application team", "Flux kustomization apps"}, r.Deployers()); d != "" {
		t.Error(d)
	}
}
