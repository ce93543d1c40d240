package sums

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vqaudio/vqaudio/internal/parallel"
)

// TestDivide: the items cover every row and column once, are few, and large.
func TestDivide(t *testing.T) {
	for rows := 0; rows < 70000; rows += 1 + rows/50 {
		for _, columns := range []int{1, 31, 32, 33, 64, 100, 256, 1000} {
			d := Divide(rows, columns)
			if d.Segments < 1 || d.Segments > mostSegments || d.SegmentRows < leastRows || d.SegmentRows%rowUnit != 0 || d.ColumnBlock%panel != 0 {
				t.Fatalf("%+v", d)
			}
			if columns >= fewItems*panel && d.Items() < fewItems {
				t.Fatalf("%d items of %+v", d.Items(), d)
			}
			covered := 0
			for i := range d.Items() {
				_, from, to, first, end := d.Item(i)
				if from < 0 || from > to || to > rows || first >= end || end > columns {
					t.Fatalf("item %d of %+v: rows [%d, %d), columns [%d, %d)", i, d, from, to, first, end)
				}
				covered += (to - from) * (end - first)
			}
			if covered != rows*columns {
				t.Fatalf("%d of %d covered by %+v", covered, rows*columns, d)
			}
		}
	}
}

// TestPart: parts of all items, filled with ones times their rows, add up to the rows everywhere, whatever was there before.
func TestPart(t *testing.T) {
	for _, rows := range []int{0, 1, 5000, 9000, 100000} {
		const height, columns = 3, 100
		d := Divide(rows, columns)
		sum, parts := make([]float32, height*columns), make([]float32, (d.Segments-1)*height*columns)
		for i := range parts {
			parts[i] = 1234
		}
		for i := range d.Items() {
			segment, from, to, first, end := d.Item(i)
			part := d.Part(sum, parts, segment, first, end)
			for r := range height {
				for c := first; c < end; c++ {
					part[r*columns+c] += float32(to - from)
				}
			}
		}
		Add(sum, parts)
		for i, v := range sum {
			if v != float32(rows) {
				t.Fatalf("%d rows: element %d is %v", rows, i, v)
			}
		}
	}
}

// TestAdd compares with a plain loop in the same order, bit for bit, on several numbers of threads.
func TestAdd(t *testing.T) {
	defer parallel.SetThreads(parallel.Threads())
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 7, additionBlock, 3*additionBlock + 5} {
		for _, count := range []int{0, 1, 5} {
			start, parts := random(r, n), random(r, n*count)
			want := append([]float32{}, start...)
			for i, v := range parts {
				want[i%n] += v
			}
			for _, threads := range []int{1, 2, 5} {
				parallel.SetThreads(threads)
				dst := append([]float32{}, start...)
				Add(dst, parts)
				for i := range dst {
					if dst[i] != want[i] {
						t.Fatalf("%d partial sums of %d, %d threads: element %d is %v, want %v", count, n, threads, i, dst[i], want[i])
					}
				}
			}
		}
	}
}

func TestAddPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for partial sums of another length")
		}
	}()
	Add(make([]float32, 3), make([]float32, 7))
}

func TestColumns(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 63, 64, 65, 200} {
		for _, rows := range []int{0, 1, 255, 257, 700} {
			stride := n + 3
			x := random(r, rows*stride+n)
			sums := random(r, n)
			Columns(sums, x, stride, rows)
			for j, v := range sums {
				want, size := 0.0, 0.0
				for i := range rows {
					want += float64(x[i*stride+j])
					size += math.Abs(float64(x[i*stride+j]))
				}
				if math.Abs(float64(v)-want) > size*0x1p-24*(256+3) {
					t.Fatalf("%d rows of %d: sum %d is %v, want %v", rows, n, j, v, want)
				}
			}
		}
	}
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}
