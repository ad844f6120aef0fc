package kuberay

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// The text stands in states: it never changes.
func TestValues_JSON(t *testing.T) {
	values := Values{
		{"cpu", MinReplicas}: int64(1), {"cpu", IdleTimeoutSeconds}: nil, {"gpu", MaxReplicas}: int64(1<<31 - 1),
		{"", IdleTimeoutSeconds}: int64(60), {"", UpscalingMode}: "Default",
	}
	const text = `{"autoscalerOptions":{"idleTimeoutSeconds":60,"upscalingMode":"Default"},"workerGroupSpecs":{"cpu":{"idleTimeoutSeconds":null,"minReplicas":1},"gpu":{"maxReplicas":2147483647}}}`
	b, err := json.Marshal(values)
	if err != nil || string(b) != text {
		t.Errorf("got %s, %v\nwant %s", b, err, text)
	}
	var back Values
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(values, back); d != "" {
		t.Error(d)
	}
	if b, err := json.Marshal(Values{}); err != nil || string(b) != `{}` {
		t.Errorf("no values: %s, %v", b, err)
	}
}

// A patch names what must not have changed, and touches nothing else.
func TestOperations(t *testing.T) {
	tests := map[string]struct{ object, want, patch string }{
		"bounds of two groups": {
			`{"spec": {` + groups + `}}`,
			`{"workerGroupSpecs": {"gpu": {"maxReplicas": 3}, "cpu": {"minReplicas": 2, "maxReplicas": 5}}}`,
			`[{"op":"test","path":"/metadata/uid","value":"uid"},
			  {"op":"test","path":"/spec/workerGroupSpecs/0/groupName","value":"cpu"},
			  {"op":"test","path":"/spec/workerGroupSpecs/0/minReplicas","value":1},{"op":"add","path":"/spec/workerGroupSpecs/0/minReplicas","value":2},
			  {"op":"test","path":"/spec/workerGroupSpecs/1/groupName","value":"gpu"},
			  {"op":"test","path":"/spec/workerGroupSpecs/1/maxReplicas","value":2},{"op":"add","path":"/spec/workerGroupSpecs/1/maxReplicas","value":3}]`,
		},
		"options that are not there": {
			`{"spec": {}}`,
			`{"autoscalerOptions": {"idleTimeoutSeconds": 90, "upscalingMode": "Default"}}`,
			`[{"op":"test","path":"/metadata/uid","value":"uid"},
			  {"op":"test","path":"/spec/autoscalerOptions","value":null},
			  {"op":"add","path":"/spec/autoscalerOptions","value":{"idleTimeoutSeconds":90,"upscalingMode":"Default"}}]`,
		},
		"an option and a group's that are not there, and one that goes": {
			`{"spec": {"autoscalerOptions": {"idleTimeoutSeconds": 60}, ` + groups + `}}`,
			`{"autoscalerOptions": {"idleTimeoutSeconds": null, "upscalingMode": "Default"}, "workerGroupSpecs": {"gpu": {"idleTimeoutSeconds": 30}}}`,
			`[{"op":"test","path":"/metadata/uid","value":"uid"},
			  {"op":"test","path":"/spec/autoscalerOptions/idleTimeoutSeconds","value":60},{"op":"remove","path":"/spec/autoscalerOptions/idleTimeoutSeconds","value":null},
			  {"op":"test","path":"/spec/autoscalerOptions/upscalingMode","value":null},{"op":"add","path":"/spec/autoscalerOptions/upscalingMode","value":"Default"},
			  {"op":"test","path":"/spec/workerGroupSpecs/1/groupName","value":"gpu"},
			  {"op":"test","path":"/spec/workerGroupSpecs/1/idleTimeoutSeconds","value":null},{"op":"add","path":"/spec/workerGroupSpecs/1/idleTimeoutSeconds","value":30}]`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var want Values
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			r := parse(t, test.object)
			b, err := json.Marshal(r.operations(want, r.differing(want)))
			if err != nil {
				t.Fatal(err)
			}
			var patch, wantPatch any
			_ = json.Unmarshal(b, &patch)
			if err := json.Unmarshal([]byte(test.patch), &wantPatch); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(wantPatch, patch); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestChange_refusesWhatOthersWrote(t *testing.T) {
	r := parse(t, `{"spec": {`+groups+`}}`)
	want := Values{{"cpu", MinReplicas}: int64(3)}
	if fields, err := (Change{UID: "uid", Want: want, Planned: Values{{"cpu", MinReplicas}: int64(1)}}).fields(r); err != nil || len(fields) != 1 {
		t.Errorf("as planned: %v, %v", fields, err)
	}
	_, err := Change{Want: want, Planned: Values{{"cpu", MinReplicas}: int64(2)}}.fields(r)
	if conflict, ok := errors.AsType[*ConflictError](err); !ok || conflict.Found != int64(1) {
		t.Errorf("written by another: %v", err)
	}
	// What is there already is nobody's fault.
	if fields, err := (Change{Want: Values{{"cpu", MinReplicas}: int64(1)}, Planned: Values{{"cpu", MinReplicas}: int64(2)}}).fields(r); err != nil || len(fields) != 0 {
		t.Errorf("there already: %v, %v", fields, err)
	}
	if _, err := (Change{UID: "other", Want: want}).fields(r); !ray.IsKind(err, ray.KindWrongCluster) {
		t.Errorf("another object: %v", err)
	}
	if _, err := (Change{Want: Values{{"tpu", MinReplicas}: int64(1)}}).fields(r); !ray.IsKind(err, ray.KindConflict) {
		t.Errorf("no such group: %v", err)
	}
}

// What others wrote is not put back to what was there before.
func TestChange_restores(t *testing.T) {
	r := parse(t, `{"spec": {`+groups+`}}`)
	field := Field{"cpu", MinReplicas}
	for planned, want := range map[int64]Values{1: {field: int64(3)}, 2: {}} {
		change := Change{Restore: Values{field: int64(3)}, Planned: Values{field: planned}}
		if d := cmp.Diff(want, change.Target(r)); d != "" {
			t.Errorf("planned against %d: -want +got:\n%s", planned, d)
		}
		if fields, err := change.fields(r); err != nil || len(fields) != len(want) {
			t.Errorf("planned against %d: %v, %v", planned, fields, err)
		}
	}
	if target := (Change{Restore: Values{field: int64(1)}, Planned: Values{field: int64(1)}}).Target(r); len(target) > 0 {
		t.Errorf("nothing to restore: %v", target)
	}
}

// The operator writes the status only where something in it changes.
func TestTaken(t *testing.T) {
	bound, idle := Values{{"cpu", MinReplicas}: int64(2)}, Values{{"cpu", IdleTimeoutSeconds}: int64(2)}
	tests := map[string]struct {
		object string
		want   Values
		taken  bool
	}{
		"an idle timeout":       {`{"spec": {` + groups + `}}`, idle, true},
		"seen":                  {`{"spec": {` + groups + `}, "status": {"observedGeneration": 7}}`, bound, true},
		"not seen":              {`{"spec": {` + groups + `}, "status": {"observedGeneration": 6, "minWorkerReplicas": 3, "maxWorkerReplicas": 7}}`, bound, false},
		"the same sums":         {`{"spec": {` + groups + `}, "status": {"observedGeneration": 6, "minWorkerReplicas": 1, "maxWorkerReplicas": 7}}`, bound, true},
		"never seen":            {`{"spec": {"workerGroupSpecs": []}}`, bound, false},
		"hosts, no bound":       {`{"spec": {"workerGroupSpecs": [{"groupName": "cpu", "minReplicas": 2, "numOfHosts": 4}]}, "status": {"observedGeneration": 6, "minWorkerReplicas": 8, "maxWorkerReplicas": 2147483647}}`, bound, true},
		"a suspended group":     {`{"spec": {"workerGroupSpecs": [{"groupName": "cpu", "minReplicas": 2, "suspend": true}]}, "status": {"observedGeneration": 6}}`, bound, true},
		"the sums of one group": {`{"spec": {"workerGroupSpecs": [{"groupName": "cpu", "minReplicas": 2, "numOfHosts": 1, "maxReplicas": 2}]}, "status": {"observedGeneration": 6, "minWorkerReplicas": 2, "maxWorkerReplicas": 2}}`, bound, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parse(t, test.object).taken(7, test.want); got != test.taken {
				t.Errorf("got %t", got)
			}
		})
	}
}
