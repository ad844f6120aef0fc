package requirements

import (
	"fmt"
	"strings"
)

// LocalError is a requirement that names a file which is not on the cluster: Ray 2.60
// runs pip and uv in a directory of their own there, and the job FAILS with "No such
// file or directory".
type LocalError struct {
	// Requirement is the line, Path the file that it names.
	Requirement, Path string
}

func (e *LocalError) Error() string {
	return fmt.Sprintf("%q names a file of this machine, which Ray looks for on the cluster; "+
		"put it into working_dir and write ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/%s instead, or write down what it holds",
		e.Requirement, strings.TrimPrefix(strings.ReplaceAll(e.Path, `\`, "/"), "./"))
}

// fileOptions are pip's options that take a path, all of which uv has too.
var fileOptions = []string{"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links"}

// Local returns a *LocalError for the first of the packages that names a relative path.
// An absolute path may be there in the nodes' image, and one that begins with a
// variable (${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}) is Ray's to find.
func Local(packages []string) error {
	for _, p := range packages {
		if path := localPath(p); path != "" {
			return &LocalError{Requirement: strip(p), Path: path}
		}
	}
	return nil
}

func localPath(requirement string) string {
	text, _, _ := strings.Cut(strip(requirement), " #")
	text = strip(strings.TrimSuffix(text, `\`))
	if text == "" || strings.HasPrefix(text, "#") {
		return ""
	}
	if !strings.HasPrefix(text, "-") {
		// "name @ url; marker", or a path in its place.
		text, _, _ = strings.Cut(text, ";")
		if text = strip(text); isRelative(text) && looksLikePath(text) {
			return text
		}
		return ""
	}
	for _, option := range fileOptions {
		rest, ok := strings.CutPrefix(text, option)
		if !ok || rest == "" || strings.HasPrefix(option, "--") && !strings.HasPrefix(rest, "=") && strip(rest[:1]) != "" {
			continue
		}
		if path := strip(strings.TrimPrefix(strip(rest), "=")); isRelative(path) {
			return path
		}
		return ""
	}
	return ""
}

// isRelative is false for URLs, absolute paths (of Windows too) and variables.
func isRelative(path string) bool {
	drive := len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/')
	return path != "" && !drive && !strings.Contains(path, "://") && !strings.ContainsAny(path[:1], `/\$~`)
}

// looksLikePath: no name of a package has a separator, or an archive's ending.
func looksLikePath(text string) bool {
	base, _, _ := strings.Cut(text, "[")
	if base == "." || base == ".." || strings.ContainsAny(base, `/\`) {
		return !strings.Contains(base, "@")
	}
	for _, ending := range []string{".whl", ".tar.gz", ".zip", ".txt"} {
		if strings.HasSuffix(base, ending) {
			return !strings.Contains(base, "@")
		}
	}
	return false
}
