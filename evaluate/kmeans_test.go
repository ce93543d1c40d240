package evaluate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/internal/parallel"
)

// blobs returns n rows around each of the centres.
func blobs(centres [][]float32, n int, spread float64) []float32 {
	r := rand.New(rand.NewPCG(7, 8))
	var rows []float32
	for range n {
		for _, c := range centres {
			for _, v := range c {
				rows = append(rows, v+float32(spread*r.NormFloat64()))
			}
		}
	}
	return rows
}

// TestKMeans finds clusters that lie far apart.
func TestKMeans(t *testing.T) {
	centres := [][]float32{{0, 0, 0}, {10, 0, 0}, {0, 10, 5}, {-10, 0, 3}, {0, -10, 0}}
	const n, k, dim = 700, 5, 3
	rows := blobs(centres, n, 0.5)
	c, err := KMeans(t.Context(), rows, dim, k, rand.NewPCG(1, 2), nil)
	if err != nil {
		t.Fatal(err)
	}
	codes := make([]int32, n*k)
	c.Assign(codes, rows)
	for i, code := range codes {
		if code != codes[i%k] {
			t.Fatalf("row %d is of cluster %d, its blob of %d", i, code, codes[i%k])
		}
	}
	if seen := slices.Compact(slices.Sorted(slices.Values(codes[:k]))); len(seen) != k {
		t.Errorf("blobs share clusters: %v", codes[:k])
	}
	// The centres are the means of their rows, and the inertia is what they leave: about dim * 0.25.
	inertia := 0.0
	for b := range k {
		var mean [dim]float64
		for i := b; i < n*k; i += k {
			for j := range dim {
				mean[j] += float64(rows[i*dim+j]) / n
			}
		}
		for j, m := range mean {
			if got := c.Centres[int(codes[b])*dim+j]; math.Abs(float64(got)-m) > 1e-5 {
				t.Errorf("cluster %d, number %d: centre %v, mean %v", b, j, got, m)
			}
		}
		for i := b; i < n*k; i += k {
			for j, m := range mean {
				inertia += (float64(rows[i*dim+j]) - m) * (float64(rows[i*dim+j]) - m) / (n * k)
			}
		}
	}
	if math.Abs(c.Inertia-inertia) > 1e-4*inertia {
		t.Errorf("inertia %v, want %v", c.Inertia, inertia)
	}
}

func TestKMeansThreads(t *testing.T) {
	rows := blobs([][]float32{{0, 0, 1, 5, 2}, {1, 2, 3, 4, 5}}, 3000, 1)
	var first *Clusters
	for _, threads := range []int{1, 3} {
		before := parallel.Threads()
		parallel.SetThreads(threads)
		c, err := KMeans(t.Context(), rows, 5, 37, rand.NewPCG(1, 2), nil)
		parallel.SetThreads(before)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = c
		}
		if !slices.Equal(c.Centres, first.Centres) || c.Rounds != first.Rounds || c.Inertia != first.Inertia {
			t.Errorf("on %d threads: %d rounds, %v; on one: %d, %v", threads, c.Rounds, c.Inertia, first.Rounds, first.Inertia)
		}
	}
	if first.Rounds < 3 {
		t.Errorf("%d rounds: too easy", first.Rounds)
	}
}

// TestKMeansFewRows has as many clusters as rows, and fewer different rows than clusters.
func TestKMeansFewRows(t *testing.T) {
	c, err := KMeans(t.Context(), []float32{1, 5, 3, 9}, 1, 4, rand.NewPCG(1, 2), nil)
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(c.Centres)), []float32{1, 3, 5, 9}) || c.Inertia != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = KMeans(t.Context(), []float32{2, 2, 7, 2, 7}, 1, 4, rand.NewPCG(1, 2), nil)
	if err != nil || !slices.Contains(c.Centres, 2) || !slices.Contains(c.Centres, 7) || c.Inertia != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, k := range []int{0, 6} {
		if _, err := KMeans(t.Context(), make([]float32, 5), 1, k, rand.NewPCG(1, 2), nil); err == nil {
			t.Errorf("%d clusters of 5 rows", k)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := KMeans(ctx, make([]float32, 5), 1, 2, rand.NewPCG(1, 2), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEmptyCluster moves a centre without rows to the row that is farthest from its own.
func TestEmptyCluster(t *testing.T) {
	rows := []float32{0, 1, 2, 10, 30}
	c := &Clusters{Dim: 1, Centres: []float32{1, 99, 20}}
	distances := []float32{1, 0, 1, 100, 81}
	c.average(rows, []int32{0, 0, 0, 2, 2}, distances)
	if !slices.Equal(c.Centres, []float32{1, 10, 20}) {
		t.Errorf("centres %v", c.Centres)
	}
}
