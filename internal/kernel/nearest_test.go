package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/kernel/reference"
)

// checkNearest compares codes and distances with the plain loop: a code may differ from it only where two distances are
// the same within the rounding of a float32 sum.
func checkNearest(t *testing.T, what string, codes []int32, distances, z []float32, stride, rows int, table []float32, entries, dim int) {
	t.Helper()
	table64 := widen(table)
	for r := range rows {
		row := widen(z[r*stride:][:dim])
		want, distance := reference.Nearest(row, table64, entries)
		code := int(codes[r])
		if math.IsInf(distance, 1) || distance > math.MaxFloat32 {
			if code != 0 || !math.IsInf(float64(distances[r]), 1) {
				t.Fatalf("%s: row %d: code %d, distance %v; want 0, +Inf", what, r, code, distances[r])
			}
			continue
		}
		if code < 0 || code >= entries {
			t.Fatalf("%s: row %d: code %d of %d entries", what, r, code, entries)
		}
		_, found := reference.Nearest(row, table64[code*dim:(code+1)*dim], 1)
		// Differences, squares and sums of dim positive terms: dim+3 roundings, each of at most half a unit.
		bound := float64(dim+3)*0x1p-24*distance + 1e-44*float64(dim)
		if code != want && !(math.Abs(found-distance) <= 2*bound) {
			t.Fatalf("%s: row %d: code %d at %v, want %d at %v", what, r, code, found, want, distance)
		}
		if !(math.Abs(float64(distances[r])-found) <= bound) {
			t.Fatalf("%s: row %d: distance %v, want %v", what, r, distances[r], found)
		}
	}
}

// runNearest runs Nearest on buffers between guard words and returns what it found.
func runNearest(t *testing.T, what string, r *rand.Rand, z []float32, stride, rows int, table []float32, entries, dim int) ([]int32, []float32) {
	t.Helper()
	packed := mvRandom(r, CodebookLen(entries, dim))
	book := PackCodebook(packed.part, table, entries, dim)
	packed.check(t, what+": packed")
	codes, distances := mvNew[int32](r, rows), mvNew[float32](r, rows)
	Nearest(codes.part, distances.part, z, stride, rows, book)
	codes.check(t, what+": codes")
	distances.check(t, what+": distances")
	alone := mvNew[int32](r, rows)
	Nearest(alone.part, nil, z, stride, rows, book)
	for i := range alone.part {
		if alone.part[i] != codes.part[i] {
			t.Fatalf("%s: row %d: code %d without distances, %d with", what, i, alone.part[i], codes.part[i])
		}
	}
	return codes.part, distances.part
}

func TestNearest(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		type shape struct{ rows, entries, dim int }
		shapes := []shape{{0, 5, 3}, {3, 5, 0}, {3, 0, 4}, {200, 512, 64}, {7, 4096, 9}, {3, 1000, 512}, {130, 33, 17}}
		for n := range 70 {
			shapes = append(shapes, shape{n % 11, n + 1, 1 + n%7}, shape{n, 1 + n%37, 1 + n})
		}
		for _, s := range shapes {
			what := fmt.Sprintf("%d rows, %d entries, dim %d", s.rows, s.entries, s.dim)
			stride := s.dim + r.IntN(4)
			z, table := mvRandom(r, max(0, (s.rows-1)*stride+s.dim)), mvRandom(r, s.entries*s.dim)
			codes, distances := runNearest(t, what, r, z.part, stride, s.rows, table.part, s.entries, s.dim)
			checkNearest(t, what, codes, distances, z.part, stride, s.rows, table.part, s.entries, s.dim)
			z.check(t, what)
		}
	})
}

// Rows that are entries are at distance 0 exactly, at any offset from the origin; of equal entries the first is taken.
func TestNearestTies(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, entries := range []int{1, 2, 16, 31, 32, 33, 64, 100, 257, 3000} {
			for _, dim := range []int{1, 5, 64} {
				table := mvRandom(r, entries*dim).part
				for i := range table {
					table[i] += 1000
				}
				first := r.IntN(entries)
				for k := first; k < entries; k += 1 + r.IntN(5) {
					copy(table[k*dim:(k+1)*dim], table[first*dim:(first+1)*dim])
				}
				step := 1 + entries/300 // every step-th entry is a row
				rows := (entries + step - 1) / step
				codes, distances := runNearest(t, "ties", r, table, step*dim, rows, table, entries, dim)
				for row := range rows {
					k, want := row*step, 0
					for !mvSame(table[want*dim:][:dim], table[k*dim:][:dim]) {
						want++
					}
					if int(codes[row]) != want || distances[row] != 0 {
						t.Fatalf("%d entries, dim %d: entry %d: code %d at %v, want %d at 0", entries, dim, k, codes[row], distances[row], want)
					}
				}
			}
		}
	})
}

func mvSame(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Entries and rows with NaN or Inf, and distances that overflow.
func TestNearestNotFinite(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(25, 26))
		for _, entries := range []int{1, 5, 32, 70, 513} {
			const rows, dim = 9, 6
			z, table := mvRandom(r, rows*dim).part, mvRandom(r, entries*dim).part
			for range entries {
				table[r.IntN(len(table))] = []float32{nan, inf, -inf, 1e38, 3e19}[r.IntN(5)]
			}
			z[0], z[dim], z[2*dim], z[3*dim] = nan, inf, -inf, 3e38
			what := fmt.Sprintf("%d entries", entries)
			codes, distances := runNearest(t, what, r, z, dim, rows, table, entries, dim)
			checkNearest(t, what, codes, distances, z, dim, rows, table, entries, dim)
			for _, row := range []int{0, 1, 2} {
				if codes[row] != 0 || !math.IsInf(float64(distances[row]), 1) {
					t.Fatalf("%s: row of %v: code %d at %v, want 0 at +Inf", what, z[row*dim], codes[row], distances[row])
				}
			}
		}
	})
}

// A row's code and distance do not depend on the rows around it.
func TestNearestPlace(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(27, 28))
		const entries, dim = 77, 13
		table, row := mvRandom(r, entries*dim).part, mvRandom(r, dim).part
		code, distance := runNearest(t, "alone", r, row, dim, 1, table, entries, dim)
		for rows := 1; rows < 12; rows++ {
			for at := range rows {
				z := mvRandom(r, rows*dim).part
				copy(z[at*dim:], row)
				codes, distances := runNearest(t, "among others", r, z, dim, rows, table, entries, dim)
				if codes[at] != code[0] || distances[at] != distance[0] {
					t.Fatalf("row %d of %d: code %d at %v, alone %d at %v", at, rows, codes[at], distances[at], code[0], distance[0])
				}
			}
		}
	})
}

func TestNearestPanics(t *testing.T) {
	book := PackCodebook(make([]float32, CodebookLen(3, 4)), make([]float32, 12), 3, 4)
	for name, f := range map[string]func(){
		"kernel.PackCodebook: table: length 11, want 12": func() { PackCodebook(make([]float32, 128), make([]float32, 11), 3, 4) },
		"kernel.PackCodebook: dst: length 12, want 128":  func() { PackCodebook(make([]float32, 12), make([]float32, 12), 3, 4) },
		"kernel.Nearest: codes: length 1, want 2":        func() { Nearest(make([]int32, 1), nil, make([]float32, 8), 4, 2, book) },
		"kernel.Nearest: distances: length 3, want 2": func() {
			Nearest(make([]int32, 2), make([]float32, 3), make([]float32, 8), 4, 2, book)
		},
		"kernel.Nearest: z: length 7, want 2 rows x 4 columns at stride 4": func() {
			Nearest(make([]int32, 2), nil, make([]float32, 7), 4, 2, book)
		},
	} {
		mvPanics(t, name, f)
	}
}

func TestNearestAllocates(t *testing.T) {
	forEachSetting(t, func(t *testing.T) {
		book := PackCodebook(make([]float32, CodebookLen(40, 5)), make([]float32, 200), 40, 5)
		codes, z := make([]int32, 6), make([]float32, 30)
		if n := testing.AllocsPerRun(10, func() { Nearest(codes, nil, z, 5, 6, book) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// FuzzNearest compares every tier with the plain loop on shapes and numbers of the fuzzer's choice.
func FuzzNearest(f *testing.F) {
	f.Add(uint16(5), uint16(70), uint16(3), uint64(1), float32(1))
	f.Add(uint16(1), uint16(1), uint16(1), uint64(2), float32(1e18))
	f.Add(uint16(66), uint16(500), uint16(64), uint64(3), float32(1e-3))
	f.Fuzz(func(t *testing.T, rows16, entries16, dim16 uint16, seed uint64, offset float32) {
		rows, entries, dim := int(rows16%100), int(entries16%600), int(dim16%80)
		r := rand.New(rand.NewPCG(seed, 2))
		z, table := mvRandom(r, rows*dim).part, mvRandom(r, entries*dim).part
		if a := math.Abs(float64(offset)); !(a < 1e18) {
			offset = 0 // NotFinite tests what lies beyond
		}
		for i := range table {
			table[i] += offset
		}
		for _, s := range Available() {
			before := Use(s)
			codes, distances := runNearest(t, s.String(), r, z, dim, rows, table, entries, dim)
			checkNearest(t, s.String(), codes, distances, z, dim, rows, table, entries, dim)
			Use(before)
		}
	})
}

// The throughput is counted as three operations for each pair of numbers: subtract, multiply, add.
func BenchmarkNearest(b *testing.B) {
	forEachTier(b, func(b *testing.B) {
		for _, shape := range [][2]int{{512, 64}, {512, 128}, {4096, 256}, {128, 1}} {
			const rows = 256
			entries, dim := shape[0], shape[1]
			book := PackCodebook(make([]float32, CodebookLen(entries, dim)), make([]float32, entries*dim), entries, dim)
			codes, z := make([]int32, rows), make([]float32, rows*dim)
			b.Run(fmt.Sprintf("%dx%dx%d", rows, entries, dim), func(b *testing.B) {
				for b.Loop() {
					Nearest(codes, nil, z, dim, rows, book)
				}
				b.ReportMetric(3*float64(rows*entries*dim)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	})
}
