package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
)

// Clusters are what [KMeans] has found.
type Clusters struct {
	Dim     int
	Centres []float32 // [K, Dim]
	Rounds  int       // of assignment and averaging
	Inertia float64   // mean squared distance of the rows from their centres

	book kernel.Codebook
}

const (
	maxRounds    = 100
	leastGain    = 1e-5 // of the inertia in a round, relative: with less it is at its end
	clusterBlock = 1024 // rows of an item
)

// KMeans finds k clusters of rows [n, dim] of finite numbers: seeded by k-means++ (Arthur and Vassilvitskii, 2007), then by Lloyd's
// rounds, until one of them lowers the mean squared distance by less than a hundred-thousandth, 100 at most. An empty cluster
// takes the row farthest from its centre. It returns an error if there are fewer rows than clusters, or if ctx is cancelled.
// Progress is told the rounds.
//
// The result depends on rows and src alone, not on the number of threads.
func KMeans(ctx context.Context, rows []float32, dim, k int, src rand.Source, progress Progress) (*Clusters, error) {
	n := len(rows) / dim
	if k < 1 || k > n {
		return nil, fmt.Errorf("%d clusters of %d frames: want 1 or more, and at least as many frames", k, n)
	}
	c := &Clusters{Dim: dim, Centres: make([]float32, k*dim)}
	distances := make([]float32, n)
	if err := c.seed(ctx, rows, distances, k, rand.New(src)); err != nil {
		return nil, err
	}
	codes, packed := make([]int32, n), make([]float32, kernel.CodebookLen(k, dim))
	for last := 0.0; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.book = kernel.PackCodebook(packed, c.Centres, k, dim)
		c.assign(codes, distances, rows)
		c.Inertia = total(distances) / float64(n)
		if c.Rounds == maxRounds || c.Rounds > 0 && last-c.Inertia <= leastGain*last {
			progress.tell("clustering", "rounds", maxRounds, maxRounds)
			return c, nil
		}
		last = c.Inertia
		c.average(rows, codes, distances)
		c.Rounds++
		progress.tell("clustering", "rounds", c.Rounds, maxRounds)
	}
}

// Assign writes the nearest centre of each of rows to codes.
func (c *Clusters) Assign(codes []int32, rows []float32) { c.assign(codes, nil, rows) }

func (c *Clusters) assign(codes []int32, distances, rows []float32) {
	parallel.For(parallel.Blocks(len(codes), clusterBlock), func(b int) {
		from, to := parallel.Block(b, len(codes), clusterBlock)
		var d []float32
		if distances != nil {
			d = distances[from:to]
		}
		kernel.Nearest(codes[from:to], d, rows[from*c.Dim:to*c.Dim], c.Dim, to-from, c.book)
	})
}

// seed draws the centres: each is a row, drawn in proportion to its squared distance from the nearest centre before.
func (c *Clusters) seed(ctx context.Context, rows, distances []float32, k int, random *rand.Rand) error {
	n, dim := len(distances), c.Dim
	for i := range distances {
		distances[i] = math.MaxFloat32
	}
	next := random.IntN(n)
	for i := range k {
		if err := ctx.Err(); err != nil {
			return err
		}
		centre := c.Centres[i*dim:][:dim]
		copy(centre, rows[next*dim:])
		parallel.For(parallel.Blocks(n, clusterBlock), func(b int) {
			from, to := parallel.Block(b, n, clusterBlock)
			for r := from; r < to; r++ {
				d := float32(0)
				for j, v := range rows[r*dim:][:dim] {
					d += (v - centre[j]) * (v - centre[j])
				}
				distances[r] = min(distances[r], d)
			}
		})
		at := random.Float64() * total(distances)
		next = random.IntN(n) // where all rows are centres already
		for r, d := range distances {
			if at -= float64(d); at < 0 {
				next = r
				break
			}
		}
	}
	return nil
}

// average moves each centre to the mean of its rows.
func (c *Clusters) average(rows []float32, codes []int32, distances []float32) {
	dim := c.Dim
	sums, counts := make([]float64, len(c.Centres)), make([]int, len(c.Centres)/dim)
	for r, k := range codes {
		counts[k]++
		sum := sums[int(k)*dim:][:dim]
		for j, v := range rows[r*dim:][:dim] {
			sum[j] += float64(v)
		}
	}
	for k, n := range counts {
		centre := c.Centres[k*dim:][:dim]
		if n == 0 {
			far := 0
			for r, d := range distances {
				if d > distances[far] {
					far = r
				}
			}
			copy(centre, rows[far*dim:])
			distances[far] = 0
			continue
		}
		for j := range centre {
			centre[j] = float32(sums[k*dim+j] / float64(n))
		}
	}
}

func total(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return sum
}
