package vqaudio

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vqaudio/vqaudio"

// rows are the packages of the house from the ground up. A package may import, in its tests too, what stands in lower
// rows only.
var rows = [][]string{
	{"nn/gradcheck", "files", "internal/shared"},
	{"internal/kernel/reference"},
	{"internal/kernel"},
	{"internal/kernel/peak", "internal/parallel"},
	{"internal/sums", "tensor", "audio", "corpora/images"},
	{"nn", "audio/spectrum"},
	{"dilated", "corpora", "internal/picture"},
	{"internal/bench"},
	{"cmd/vqaudio"},
}

// foreign lists the packages that import anything beyond this module and the standard library, and what.
var foreign = map[string][]string{
	"internal/kernel":  {"golang.org/x/sys/cpu"},
	"audio":            {"github.com/go-audio/audio", "github.com/go-audio/wav", "github.com/mewkiz/flac", "github.com/mewkiz/flac/frame", "github.com/mewkiz/flac/meta", "github.com/hajimehoshi/go-mp3"},
	"audio/spectrum":   {"gonum.org/v1/gonum/dsp/fourier", "github.com/mjibson/go-dsp/fft"},
	"corpora":          {"github.com/edsrzf/mmap-go"},
	"internal/picture": {"gonum.org/v1/plot"},
	"cmd/vqaudio":      {"github.com/urfave/cli/v2", "golang.org/x/term", "github.com/schollz/progressbar/v3"},
}

// rules are the imports that no order of rows forbids: from the packages on the left, what stands on the right is out of
// reach, by any way. Sound and its corpora know nothing of tensors, layers and models nothing of files of sound.
var rules = []struct{ from, to []string }{
	{[]string{"audio", "audio/spectrum", "corpora", "corpora/images"}, []string{"tensor", "nn", "dilated"}},
	{[]string{"tensor", "nn", "dilated"}, []string{"audio", "audio/spectrum", "corpora", "corpora/images"}},
}

// goPackage is what "go list -json" says of a package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// TestImportsPointDown checks the imports of every package, on every platform and tag that chooses other files.
func TestImportsPointDown(t *testing.T) {
	row := map[string]int{module: len(rows)} // this package, which has tests only
	for i, names := range rows {
		for _, name := range names {
			row[module+"/"+name] = i
		}
	}
	for _, build := range []struct{ arch, tags string }{{"amd64", ""}, {"amd64", "noasm"}, {"arm64", ""}, {"riscv64", ""}} {
		t.Run(build.arch+build.tags, func(t *testing.T) {
			for _, p := range listPackages(t, build.arch, build.tags) {
				name := strings.TrimPrefix(p.ImportPath, module+"/")
				height, known := row[p.ImportPath]
				if !known {
					t.Errorf("%s has no row: say in architecture_test.go and in ARCHITECTURE.md where it stands", p.ImportPath)
					continue
				}
				for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
					switch below, ours := row[i]; {
					case ours && i != p.ImportPath && below >= height:
						t.Errorf("%s imports %s, which does not stand below it", name, i)
					case !ours && strings.HasPrefix(i, module):
						t.Errorf("%s imports %s, which has no row", name, i)
					case !ours && strings.Contains(i, ".") && !slices.Contains(foreign[name], i):
						t.Errorf("%s imports %s, which it may not", name, i)
					case !ours && i == "flag" && name != "cmd/vqaudio":
						t.Errorf("%s imports flag: flags belong to cmd", name)
					}
				}
			}
		})
	}
}

// listPackages returns this module's packages among the dependencies of ./... and its tests.
func listPackages(t *testing.T, arch, tags string) []goPackage {
	t.Helper()
	c := exec.Command("go", "list", "-deps", "-tags", tags, "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == module || strings.HasPrefix(p.ImportPath, module+"/") {
			packages = append(packages, p)
		}
	}
	if len(packages) < 5 {
		t.Fatalf("go list names only %d packages of this module", len(packages))
	}
	return packages
}
