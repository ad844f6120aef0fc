package workdir

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// remoteSchemes are what Ray's nodes fetch from.
var remoteSchemes = []string{"http", "https", "s3", "gs", "azure", "abfss", "file"}

// IsURI tells a URI from a path: "C:\\dir" and "dir:x" are paths.
func IsURI(s string) bool { return strings.Contains(s, "://") }

// CheckWorkingDirURI and CheckModuleURI refuse what Ray 2.60 refuses on the
// cluster, where the job is FAILED for it.
func CheckWorkingDirURI(uri string) error { return checkURI(uri, workingDirSuffixes) }

// CheckModuleURI is CheckWorkingDirURI for an entry of py_modules.
func CheckModuleURI(uri string) error { return checkURI(uri, moduleSuffixes) }

var windowsPath = regexp.MustCompile(`^/?[A-Za-z]:[\\/]`)

func checkURI(uri string, suffixes []string) error {
	scheme, rest, _ := strings.Cut(uri, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case scheme == "local":
		if !strings.HasPrefix(rest, "/") && !windowsPath.MatchString(rest) {
			return fmt.Errorf("the path of a local:// URI must be absolute, as in local:///path/on/each/node")
		}
		if hasSuffix(rest, moduleSuffixes) {
			return fmt.Errorf("a local:// URI is a directory that is on each node already, never an archive")
		}
		return nil
	case scheme != "gcs" && !slices.Contains(remoteSchemes, scheme):
		return fmt.Errorf("Ray has no scheme %q; it has %s, gcs and local", scheme, strings.Join(remoteSchemes, ", "))
	}
	parsed, err := url.Parse(uri)
	if err != nil { // the error shows the URI, which may hold a password
		return fmt.Errorf("it is not a URI")
	}
	name := parsed.Host + parsed.Path
	if scheme == "gcs" {
		name = parsed.Host
	}
	if !hasSuffix(name, suffixes) {
		return fmt.Errorf("Ray takes %s here, by the end of the URI's path", strings.Join(suffixes, ", "))
	}
	return nil
}
