package vqaudio

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vqaudio/vqaudio"

// rows are the packages of the house from the ground up. A package may import, in its tests too, what stands in lower
// rows only.
var rows = [][]string{
	{"nn/gradcheck", "files", "internal/shared", "internal/holdout", "internal/page/browser"},
	{"internal/kernel/reference"},
	{"internal/kernel"},
	{"internal/kernel/peak", "internal/parallel", "internal/rangecoder"},
	{"internal/sums", "tensor", "audio", "corpora/images"},
	{"nn", "audio/spectrum"},
	{"dilated", "speaker", "corpora", "alignment", "internal/picture", "internal/page", "internal/safetensors", "units"},
	{"wavenet", "classify"},
	{"vqvae", "compress"},
	{"frontend", "prior"},
	{"codes", "checkpoint", "enrol", "evaluate"},
	{"pretrained", "train"},
	{"internal/bench", "experiment", "."},
	{"demo"},
	{"cmd/vqaudio", "internal/listener"},
}

// foreign lists the packages that import anything beyond this module and the standard library, and what.
var foreign = map[string][]string{
	module:              {"github.com/go-audio/audio"},
	"internal/kernel":   {"golang.org/x/sys/cpu", "github.com/klauspost/cpuid/v2"},
	"audio":             {"github.com/go-audio/audio", "github.com/go-audio/wav", "github.com/mewkiz/flac/frame", "github.com/hajimehoshi/go-mp3"},
	"audio/spectrum":    {"gonum.org/v1/gonum/dsp/fourier"},
	"corpora":           {"github.com/edsrzf/mmap-go"},
	"corpora/images":    {"golang.org/x/image/draw"},
	"speaker":           {"github.com/agnivade/levenshtein"},
	"internal/picture":  {"golang.org/x/image/font", "golang.org/x/image/font/gofont/goregular", "golang.org/x/image/font/opentype", "golang.org/x/image/math/fixed", "golang.org/x/image/vector"},
	"internal/listener": {"github.com/agnivade/levenshtein"},
	"train":             {"github.com/agnivade/levenshtein", "github.com/gofrs/flock", "google.golang.org/protobuf/encoding/protowire"},
	"cmd/vqaudio":       {"github.com/urfave/cli/v2", "golang.org/x/term", "github.com/schollz/progressbar/v3"},
}

// Sound and corpora on one side, layers and models on the other know nothing of each other: no package of one side is
// reached from the other, however indirectly.
var (
	sound  = []string{"audio", "audio/spectrum", "corpora", "corpora/images"}
	layers = []string{"tensor", "nn", "dilated", "speaker", "wavenet", "vqvae", "prior", "classify"}
)

// goPackage is what "go list -json" says of a package.
type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// TestImportsPointDown checks the imports of every package, on every platform and tag that chooses other files.
func TestImportsPointDown(t *testing.T) {
	row := map[string]int{}
	for i, names := range rows {
		for _, name := range names {
			row[path.Join(module, name)] = i
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

// TestSidesAreApart checks that neither sound nor layers reach the other side.
func TestSidesAreApart(t *testing.T) {
	imports := map[string][]string{}
	for _, p := range listPackages(t, "amd64", "") {
		imports[p.ImportPath] = p.Imports
	}
	for _, sides := range [][2][]string{{sound, layers}, {layers, sound}} {
		for _, from := range sides[0] {
			seen := map[string]bool{}
			for todo := []string{module + "/" + from}; len(todo) > 0; todo = todo[1:] {
				p := todo[0]
				if seen[p] {
					continue
				}
				seen[p] = true
				if _, ok := imports[p]; !ok && strings.HasPrefix(p, module+"/") {
					t.Fatalf("no package %s", p)
				}
				if slices.Contains(sides[1], strings.TrimPrefix(p, module+"/")) {
					t.Errorf("%s reaches %s", from, p)
				}
				todo = append(todo, imports[p]...)
			}
		}
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
