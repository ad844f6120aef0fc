// Package requirements reads the files that say what Ray installs for a job, as
// Ray's own client does: on the machine of whoever submits, so that the cluster
// gets their content.
//
// [Packages] is what pip and uv take: the lines of a requirements file, comments and
// all, each once. [Conda] is the environment of an environment.yml. [Local]
// finds what such lines still leave behind: files that only this machine has.
//
// A file that is not there satisfies errors.Is(err, fs.ErrNotExist); no other error
// of this package does. All are *ray.Error.
package requirements

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/ray-iac/terraform-provider-ray/internal/ray"
)

// MaxBytes is the most that a file may have. Its lines lie in the record of the job
// and of each of its workers' environments; a lock file of hundreds of packages with all
// their hashes has half of it.
const MaxBytes = 1 << 20

// Packages returns the lines of a requirements file as Ray's client posts them
// (_handle_local_deps_requirement_file in ray/_private/runtime_env/validation.py):
// stripped as a whole, of equal lines the first.
func Packages(file string) ([]string, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	var lines []string
	seen := map[string]bool{}
	for line := range strings.SplitSeq(strip(text), "\n") {
		if !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// Conda returns the environment that a YAML file describes, as JSON has it.
func Conda(file string) (map[string]any, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	var environment map[string]any
	if err := yaml.Unmarshal([]byte(text), &environment); err != nil {
		return nil, wrap(file, fmt.Errorf("not an environment of conda: %w", err))
	}
	if len(environment) == 0 {
		return nil, wrap(file, errors.New("not an environment of conda: it is empty"))
	}
	for key, value := range environment {
		if err := plain(value); err != nil {
			return nil, wrap(file, fmt.Errorf("not an environment of conda: %s: %w", key, err))
		}
	}
	return environment, nil
}

// plain refuses what YAML has and JSON has not.
func plain(v any) error {
	switch v := v.(type) {
	case nil, bool, string, int, int64, float64:
		return nil
	case []any:
		for _, e := range v {
			if err := plain(e); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for _, e := range v {
			if err := plain(e); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%v has no form in JSON; put it in quotes", v)
}

// read returns the text of a file with line ends as Python's text mode makes them.
func read(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", wrap(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", wrap(file, err)
	}
	if !info.Mode().IsRegular() {
		return "", wrap(file, errors.New("not a file"))
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	switch {
	case err != nil:
		return "", wrap(file, err)
	case len(content) > MaxBytes:
		return "", wrap(file, errors.New("more than 1 MiB, which no list of requirements has"))
	case !utf8.Valid(content):
		return "", wrap(file, errors.New("not UTF-8"))
	}
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(content)), nil
}

// strip is Python's str.strip: it takes the separators 0x1C to 0x1F for spaces too.
func strip(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f })
}

func wrap(file string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return &ray.Error{Kind: ray.KindInvalid, Op: "read " + file, Err: err}
}
