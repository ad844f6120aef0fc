package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// topLevel is everything that may lie at the root.
var topLevel = []string{
	".ci", ".github", ".gitattributes", ".gitignore", ".golangci.yml", ".goreleaser.yml", "CHANGELOG.md", "CONTRIBUTING.md", "GNUmakefile",
	"LICENSE", "README.md", "docs", "examples", "go.mod", "go.sum", "internal", "main.go", "templates", "terraform-registry-manifest.json",
}

// foreign are names that belong to one machine, not to the repository: home and
// work directories and package registries.
var foreign = regexp.MustCompile(`/(?:root|work|Users|home)/[\w.-]+|pypi\.org|proxy\.golang\.org|[Aa]rtifactory`)

// within are what may stand before such a directory: then it is a part of some
// other path. /home/ray is the home in Ray's own container images.
const within, imagesHome = `.$}-_`, "/home/ray"

// The tree that a user clones says nothing about the machine that it was written
// on: recorded bodies and generated files bring such names in unnoticed.
func TestTree_namesNoMachine(t *testing.T) {
	t.Parallel()
	root := repositoryRoot(t)
	for _, name := range files(t, root) {
		if !slices.Contains(topLevel, strings.Split(name, "/")[0]) {
			t.Errorf("%s: nothing else belongs at the root; see internal/acctest/runner/tree_test.go", name)
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) { // deleted, not yet committed
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 || filepath.Base(name) == "tree_test.go" {
			continue
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			for _, at := range foreign.FindAllIndex(line, -1) {
				if hit := string(line[at[0]:at[1]]); hit != imagesHome && !partOfPath(line[:at[0]]) {
					t.Errorf("%s:%d: %q", name, i+1, hit)
				}
			}
		}
	}
}

// A test that two rings would own is skipped by both.
func TestTree_namesTellTheRing(t *testing.T) {
	t.Parallel()
	root := repositoryRoot(t)
	for _, name := range files(t, root) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) { // deleted, not yet committed
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			for _, x := range slices.Concat(onRay, onCLIs) {
				if regexp.MustCompile(x.tests).Match(m[1]) && regexp.MustCompile(x.others()).Match(m[1]) {
					t.Errorf("%s: %s is a name of ring %s and of another", name, m[1], x.name)
				}
			}
		}
	}
}

// partOfPath reports whether a path goes on after before.
func partOfPath(before []byte) bool {
	if len(before) == 0 {
		return false
	}
	c := rune(before[len(before)-1])
	return unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune(within, c)
}

// files returns the files that git tracks or would track.
func files(t *testing.T, root string) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
