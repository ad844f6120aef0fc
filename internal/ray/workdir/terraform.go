package workdir

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
)

// isTerraformDir and isTerraformFile know what Terraform and OpenTofu write into a
// working directory; plans have any name and are found by content, in Hash.
func isTerraformDir(name string) bool { return name == ".terraform" || isState(name) }

func isTerraformFile(name string) bool {
	return isState(name) || name == "tfplan" || strings.HasSuffix(name, ".tfplan")
}

func isState(name string) bool { return strings.Contains(name, ".tfstate") }

// terraformFiles is the error that names the paths and the excludes that mend it.
func terraformFiles(paths []string, options Options) error {
	excludes := slices.Clone(options.Excludes)
	for _, path := range paths {
		name := filepath.Base(path)
		pattern := exactly(path)
		switch {
		case name == ".terraform":
			pattern = ".terraform"
		case isState(name):
			pattern = "*.tfstate*"
		case strings.HasSuffix(name, ".tfplan"):
			pattern = "*.tfplan"
		}
		if !slices.Contains(excludes, pattern) {
			excludes = append(excludes, pattern)
		}
	}
	const show = 5
	slices.Sort(paths)
	shown := paths[:min(show, len(paths))]
	return &TerraformFilesError{Paths: shown, More: len(paths) - len(shown), Excludes: excludes}
}

// isPlan knows the beginning of what "terraform plan -out" and "tofu plan -out"
// write: a zip whose first entry is called "tfplan".
func isPlan(head []byte) bool {
	const nameLength, name = 26, 30
	return len(head) >= name+6 && bytes.HasPrefix(head, []byte("PK\x03\x04")) &&
		binary.LittleEndian.Uint16(head[nameLength:]) == 6 && string(head[name:name+6]) == "tfplan"
}
