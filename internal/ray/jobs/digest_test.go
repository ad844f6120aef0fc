package jobs_test

import (
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

// The vectors are permanent: digests and ids lie in users' states and on their
// clusters. A new one may be added; none may change.
var record = flag.Bool("record-new-vectors", false, "fill in the digest and id of vectors that have none")

type vector struct {
	Name   string
	Owner  string
	Inputs vectorInputs
	// Canonical is the digested document, Digest and ID what follows from it.
	Canonical, Digest, ID string
}

type vectorInputs struct {
	Name, SubmissionID, Entrypoint, WorkingDir, WorkingDirHash string             `json:",omitempty"`
	RuntimeEnv                                                 json.RawMessage    `json:",omitempty"`
	NumCPUs, NumGPUs                                           *float64           `json:",omitempty"`
	MemoryBytes                                                *int64             `json:",omitempty"`
	Resources                                                  map[string]float64 `json:",omitempty"`
	LabelSelector, Triggers                                    map[string]string  `json:",omitempty"`
	PyModules                                                  []string           `json:",omitempty"`
	EnvVarsVersion, RuntimeEnvVersion                          string             `json:",omitempty"`
}

func (v vectorInputs) inputs(t *testing.T) jobs.Inputs {
	t.Helper()
	in := jobs.Inputs{
		Name: v.Name, SubmissionID: v.SubmissionID, Entrypoint: v.Entrypoint, WorkingDir: v.WorkingDir, WorkingDirHash: v.WorkingDirHash,
		NumCPUs: v.NumCPUs, NumGPUs: v.NumGPUs, MemoryBytes: v.MemoryBytes, Resources: ray.Resources(v.Resources), LabelSelector: v.LabelSelector, Triggers: v.Triggers,
		PyModules: v.PyModules, EnvVarsVersion: v.EnvVarsVersion, RuntimeEnvVersion: v.RuntimeEnvVersion,
	}
	if v.RuntimeEnv != nil {
		env, err := jobs.DecodeObject(string(v.RuntimeEnv))
		if err != nil {
			t.Fatal(err)
		}
		in.RuntimeEnv = env
	}
	return in
}

func TestDigest_vectors(t *testing.T) {
	t.Parallel()
	const file = "testdata/digest_v1.json"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 12 {
		t.Fatalf("%d vectors, want all of them", len(vectors))
	}
	for i, v := range vectors {
		in := v.Inputs.inputs(t)
		digest, err := in.Digest()
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		canonical, err := jobs.Canonical(jobs.Document(in))
		if err != nil {
			t.Fatal(err)
		}
		id := jobs.BaseID(v.Owner, in.Name, digest)
		if *record && v.Digest == "" {
			vectors[i].Canonical, vectors[i].Digest, vectors[i].ID = string(canonical), digest, id
			continue
		}
		if diff := cmp.Diff([]string{v.Canonical, v.Digest, v.ID}, []string{string(canonical), digest, id}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.Name, diff)
		}
	}
	if *record {
		out, err := json.MarshalIndent(vectors, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Absent, null and empty are one, so that an attribute added later re-runs nothing.
func TestDigest_absentNullAndEmptyAreOne(t *testing.T) {
	t.Parallel()
	plain, err := jobs.Inputs{Name: "a", Entrypoint: "true"}.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]jobs.Inputs{
		"empty maps":       {Name: "a", Entrypoint: "true", Triggers: map[string]string{}, LabelSelector: map[string]string{}, Resources: ray.Resources{}, RuntimeEnv: map[string]any{}},
		"empty inside env": {Name: "a", Entrypoint: "true", RuntimeEnv: map[string]any{"env_vars": map[string]any{}, "pip": []any{}, "conda": nil}},
	} {
		got, err := in.Digest()
		if err != nil || got != plain {
			t.Errorf("%s: digest %s (%v), want %s", name, got, err, plain)
		}
	}
}

// RFC 8785, section 3.2.4 and appendix B, and the order of its section 3.2.3.
func TestCanonical_isRFC8785(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
			`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`},
		{`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u0080\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\ufb33\":\"Hebrew Letter Dalet With Dagesh\"}"},
		{`{"n":[-0,0,5e-324,-5e-324,1.7976931348623157e308,9007199254740992,295147905179352830000,9.999999999999997e22,1e23,1e21,1e-6,1e-7,100]}`,
			`{"n":[0,0,5e-324,-5e-324,1.7976931348623157e+308,9007199254740992,295147905179352830000,9.999999999999997e+22,1e+23,1e+21,0.000001,1e-7,100]}`},
		{`{"html":"<a>&\u2028"}`, "{\"html\":\"<a>&\u2028\"}"},
	} {
		v, err := jobs.DecodeObject(c.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := jobs.Canonical(v)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.in, diff)
		}
	}
}

func TestSameJSON_redactedIsNoDifference(t *testing.T) {
	t.Parallel()
	decode := func(s string) map[string]any {
		v, err := jobs.DecodeObject(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"env_vars":{"A":"<redacted>"}}`, `{"env_vars":{"A":"x"}}`, true},
		{`{"env_vars":{"A":"<redacted>"}}`, `{"env_vars":{"B":"x"}}`, false},
		{`{"env_vars":{"A":"<redacted>"},"pip":["a"]}`, `{"env_vars":{"A":"x"},"pip":["b"]}`, false},
		{`{"a":1.0,"b":[]}`, `{"b":[],"a":1}`, true},
		{`{"a":"1"}`, `{"a":1}`, false},
	} {
		if got := jobs.SameJSON(decode(c.a), decode(c.b)); got != c.want {
			t.Errorf("SameJSON(%s, %s) = %t, want %t", c.a, c.b, got, c.want)
		}
	}
}
