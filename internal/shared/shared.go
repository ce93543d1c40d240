// Package shared finds the recordings, images and awkward files that tests use and that are not part of the project: the
// folder "shared" beside the checkout. Tests that need it skip where it is not, saying so.
package shared

import (
	"os"
	"path/filepath"
	"testing"
)

// Data returns the path of name, slash-separated, in the folder data of shared; without it the test is skipped.
func Data(t testing.TB, name string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		parent := filepath.Dir(root)
		if parent == root {
			t.Fatal("no go.mod above the working directory")
		}
		root = parent
	}
	path := filepath.Join(filepath.Dir(root), "shared", "data", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs shared/data/%s beside the checkout: %v", name, err)
	}
	return path
}
