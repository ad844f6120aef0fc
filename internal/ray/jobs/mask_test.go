package jobs_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/jobs"
)

func TestMask_hidesSecretsInATail(t *testing.T) {
	t.Parallel()
	const pem = "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDD\n-----END KEY-----\n"
	const hidden = "(sensitive value)"
	for _, test := range []struct {
		text    string
		secrets []string
		want    string
	}{
		{"token=hunter22 a=1", []string{"hunter22", "1", ""}, "token=" + hidden + " a=1"},
		{"hunter22-more", []string{"hunter22", "hunter22-more"}, hidden},
		{`{"p": "a\"b\\c<d"}`, []string{`a"b\c<d`}, `{"p": "` + hidden + `"}`},
		{pem, []string{pem}, hidden},
		{"AAAABBBBCCCC\nDDDD\n-----END KEY-----", []string{pem}, hidden + "\nDDDD\n" + hidden}, // a tail that begins in it
	} {
		if got := jobs.Mask(test.text, test.secrets); got != test.want {
			t.Errorf("%q without %q: got %q, want %q", test.text, test.secrets, got, test.want)
		}
	}
}

func TestSecrets_areAllStringsInside(t *testing.T) {
	t.Parallel()
	v, err := jobs.DecodeObject(`{"pip":{"packages":["--index-url https://u:p@host","torch"],"pip_check":false},"n":1,"plugin":{"deep":{"token":"t"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--index-url https://u:p@host", "t", "torch"}
	if diff := cmp.Diff(want, jobs.Secrets(v, nil)); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}
