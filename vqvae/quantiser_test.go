package vqvae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vqaudio/vqaudio/nn/gradcheck"
	"github.com/vqaudio/vqaudio/tensor"
)

// plainVQ is a codebook of 5 entries of 3 channels.
func plainVQ() BottleneckConfig {
	return BottleneckConfig{Kind: VQ, Entries: 5, Dim: 3, Distance: Euclidean, Groups: 1, Stages: 1, Codebook: ByAverage, Beta: 0.25, Decay: 0.9}
}

// variants are quantisers of every kind, of 6 channels but for the plain one.
func variants() map[string]BottleneckConfig {
	all := map[string]BottleneckConfig{}
	for _, codebook := range []string{ByAverage, ByLoss} {
		for name, change := range map[string]func(c *BottleneckConfig){
			"plain":  func(c *BottleneckConfig) {},
			"cosine": func(c *BottleneckConfig) { c.Dim, c.Distance = 6, Cosine },
			"groups": func(c *BottleneckConfig) { c.Dim, c.Groups = 6, 2 },
			"stages": func(c *BottleneckConfig) { c.Dim, c.Stages = 6, 3 },
			"all":    func(c *BottleneckConfig) { c.Dim, c.Distance, c.Groups, c.Stages = 6, Cosine, 2, 2 },
		} {
			c := plainVQ()
			c.Codebook = codebook
			change(&c)
			all[name+" by "+codebook] = c
		}
	}
	return all
}

func newQuantiser(codebook string) *Quantiser {
	c := plainVQ()
	c.Codebook = codebook
	return NewQuantiser(c, rand.NewPCG(1, 2))
}

// plainPoints returns what codebook m of q quantises of a vector z in float64, given the entries of the codebooks before it.
func plainPoints(q *Quantiser, z []float32, m int, entries func(m int) []float32) []float64 {
	from, to := q.part(m)
	x := make([]float64, to-from)
	length := 1.0
	if q.Config.Distance == Cosine {
		length = math.Sqrt(inner(z[from:to], z[from:to]))
	}
	for i := range x {
		x[i] = float64(z[from+i]) / length
		for s := m - m%q.Config.Stages; s < m; s++ {
			x[i] -= float64(entries(s)[i])
		}
	}
	return x
}

// entryOf is the entry of codebook m for vector r.
func entryOf(c BottleneckConfig, v Latent, r, m int) int32 {
	entries := make([]int32, c.Books())
	c.Split(entries, v.Codes[r])
	return entries[m]
}

func squaredDistance(x []float64, e []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += (v - float64(e[i])) * (v - float64(e[i]))
	}
	return sum
}

// TestQuantise compares the codes, vectors and losses of every kind of quantiser with plain loops.
func TestQuantise(t *testing.T) {
	for name, c := range variants() {
		q, src := NewQuantiser(c, rand.NewPCG(1, 2)), rand.NewPCG(4, 5)
		z := random(src, 2, 50, c.Dim)
		a := &tensor.Arena{Poison: true}
		v := q.Forward(a, z, nil)
		if !slices.Equal(q.Embed(a, v.Codes).Data, v.Vectors.Data) {
			t.Errorf("%s: the codes do not stand for the vectors", name)
		}
		sum := 0.0
		digits, want := make([]int32, c.Books()), make([]float32, c.Dim)
		for r, code := range v.Codes {
			c.Split(digits, code)
			clear(want)
			entry := func(m int) []float32 { return q.Books[m].Entries.Value.Row(int(digits[m])) }
			for m, b := range q.Books {
				x := plainPoints(q, z.Row(r), m, entry)
				d := squaredDistance(x, entry(m))
				sum += d
				for k := range c.Entries {
					if other := squaredDistance(x, b.Entries.Value.Row(k)); other < d-1e-5 {
						t.Errorf("%s: vector %d gets entry %d of codebook %d at a distance of %g, %d is at %g", name, r, digits[m], m, d, k, other)
					}
				}
				from, _ := q.part(m)
				for i, e := range entry(m) {
					want[from+i] += e
				}
			}
			for i, x := range v.Vectors.Row(r) {
				if math.Abs(float64(x-want[i])) > 1e-6 {
					t.Fatalf("%s: vector %d is %v, want %v", name, r, v.Vectors.Row(r), want)
				}
			}
		}
		mean := sum / float64(z.Len())
		codebook := 0.0
		if c.Codebook == ByLoss {
			codebook = mean
		}
		if math.Abs(v.Commitment-0.25*mean) > 1e-6*mean || math.Abs(v.Codebook-codebook) > 1e-6*mean {
			t.Errorf("%s: losses %g and %g, want %g and %g", name, v.Commitment, v.Codebook, 0.25*mean, codebook)
		}
		if v.Lost != 0 || v.KL != 0 {
			t.Errorf("%s: %d lost vectors, a divergence of %g", name, v.Lost, v.KL)
		}
		// Codebooks that are packed beforehand.
		if packed := q.quantise(a, z, q.pack()); !slices.Equal(packed.Codes, v.Codes) || !slices.Equal(packed.Vectors.Data, v.Vectors.Data) {
			t.Errorf("%s: other codes or vectors with codebooks that are packed", name)
		}
	}
}

// TestLost: what lies nowhere, or as near to several entries.
func TestLost(t *testing.T) {
	q := newQuantiser(ByAverage)
	copy(q.Books[0].Entries.Value.Data, []float32{
		9, 9, 9,
		1, 0, 0,
		0, 1, 0,
		1, 0, 0,
		-1, 0, 0,
	})
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	z := tensor.From([]float32{
		1, 0, 0, // is there twice
		0, 0, 0, // as far from four
		0, 2, 0,
		nan, 1, 0,
		1, inf, 0,
		1, 0, -inf,
		3e38, 0, 0, // the square of the distance is no float32
		-5, 0, 1,
	}, 2, 4, 3)
	v := q.Forward(new(tensor.Arena), z, nil)
	if want := []int32{1, 1, 2, 0, 0, 0, 0, 4}; !slices.Equal(v.Codes, want) {
		t.Errorf("codes %v, want %v", v.Codes, want)
	}
	if v.Lost != 4 || !math.IsInf(v.Commitment, 1) {
		t.Errorf("%d lost vectors, want 4; a loss of %g", v.Lost, v.Commitment)
	}
	z = tensor.From(append(slices.Clone(z.Row(1)), slices.Concat(z.Row(2), z.Row(7))...), 3, 3)
	v = q.Forward(new(tensor.Arena), z, nil)
	if want := 0.25 * (1.0 + 1 + 17) / 9; math.Abs(v.Commitment-want) > 1e-9 || v.Codebook != 0 {
		t.Errorf("losses %g and %g, want %g and 0", v.Commitment, v.Codebook, want)
	}
	v = q.Forward(new(tensor.Arena), tensor.New(0, 4, 3), nil)
	if v.Commitment != 0 || v.Codebook != 0 || len(v.Codes) != 0 {
		t.Errorf("losses %g and %g of no vectors, codes %v", v.Commitment, v.Codebook, v.Codes)
	}

	// In one part of a vector.
	for name, c := range variants() {
		q, src := NewQuantiser(c, rand.NewPCG(1, 2)), rand.NewPCG(4, 5)
		q.Config.Dead = 0.99
		z := random(src, 30, c.Dim)
		for r := 0; r < 30; r += 3 {
			z.Row(r)[r%c.Dim] = []float32{nan, inf, -inf}[r/3%3]
		}
		v := q.Forward(new(tensor.Arena), z, nil)
		if v.Lost != 10 || !math.IsInf(v.Commitment, 1) {
			t.Errorf("%s: %d lost vectors, want 10; a loss of %g", name, v.Lost, v.Commitment)
		}
		q.Keep(v)
		for m, b := range q.Books {
			if len(b.latestCodes) != 20 || len(b.latest) != 20*c.Dim/c.Groups {
				t.Errorf("%s: codebook %d has kept %d entries and %d numbers of 20 vectors", name, m, len(b.latestCodes), len(b.latest))
			}
		}
		q.Update(src)
		for _, p := range slices.Concat(q.Parameters(), q.State()) {
			if !finite(p.Value.Data) {
				t.Errorf("%s: lost vectors have come into %s", name, p.Name)
			}
		}
	}
}

// TestQuantiserGradients checks the gradients of commitment and codebook loss, and that what comes from the decoder passes
// straight through, by differences of the function whose gradient they are. With the entries e0 and points x0 of the step,
//
//	<x_1, dvectors> + Beta/n sum |x_s - e0_s|^2 (+ 1/n sum |x0_s - e_s|^2),   x_s = x_1 - e0_1 - ... - e0_s-1
func TestQuantiserGradients(t *testing.T) {
	for name, c := range variants() {
		q, src := NewQuantiser(c, rand.NewPCG(1, 2)), rand.NewPCG(4, 5)
		z, dvectors := random(src, 2, 6, c.Dim), random(src, 2, 6, c.Dim)
		a := new(tensor.Arena)
		v := q.Forward(a, z, nil)
		dz := q.Backward(a, z, v, dvectors)

		n := float64(z.Len())
		z0 := tensor.From(slices.Clone(z.Data), z.Shape()...)
		entries0 := make([][][]float32, z.Rows()) // by row and codebook
		for r := range entries0 {
			for m, b := range q.Books {
				entries0[r] = append(entries0[r], slices.Clone(b.Entries.Value.Row(int(entryOf(c, v, r, m)))))
			}
		}
		loss := func() float64 { // with the codes as they are
			sum := 0.0
			for r := range z.Rows() {
				entry0 := func(m int) []float32 { return entries0[r][m] }
				for m, b := range q.Books {
					x := plainPoints(q, z.Row(r), m, entry0)
					if from, _ := q.part(m); m%c.Stages == 0 {
						for i, v := range x {
							sum += v * float64(dvectors.Row(r)[from+i])
						}
					}
					sum += 0.25 / n * squaredDistance(x, entry0(m))
					if c.Codebook == ByLoss {
						sum += squaredDistance(plainPoints(q, z0.Row(r), m, entry0), b.Entries.Value.Row(int(entryOf(c, v, r, m)))) / n
					}
				}
			}
			return sum
		}
		parts := []gradcheck.Part{{Name: "z", X: z.Data, Grad: dz.Data}}
		for m, b := range q.Books {
			if c.Codebook == ByLoss {
				parts = append(parts, gradcheck.Part{Name: fmt.Sprint("codebook ", m), X: b.Entries.Value.Data, Grad: b.Entries.Grad.Data})
			} else if slices.ContainsFunc(b.Entries.Grad.Data, func(g float32) bool { return g != 0 }) {
				t.Errorf("%s: a codebook that is trained by average has a gradient", name)
			}
		}
		if err := gradcheck.Directional(loss, src, parts...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The straight-through part alone, exactly.
		q.Config.Beta = 0
		if dz := q.Backward(a, z, v, dvectors); c.Distance == Euclidean && !slices.Equal(dz.Data, dvectors.Data) {
			t.Errorf("%s: the gradient of the entries does not pass straight through", name)
		}
	}
}

// TestAverage compares the moving averages of many batches with a plain loop in float64.
func TestAverage(t *testing.T) {
	for name, c := range variants() {
		q := NewQuantiser(c, rand.NewPCG(1, 2))
		const entries, decay, epsilon = 5, 0.9, 1e-5
		dim := c.Dim / c.Groups
		counts, sums := make([][]float64, c.Books()), make([][]float64, c.Books())
		var first [][]float32
		for m, b := range q.Books {
			counts[m], sums[m] = make([]float64, entries), make([]float64, entries*dim)
			for k := range counts[m] {
				counts[m][k] = 1
			}
			for i, v := range b.Entries.Value.Data {
				sums[m][i] = float64(v)
			}
			first = append(first, slices.Clone(b.Entries.Value.Data))
		}
		src := rand.NewPCG(3, 3)
		for range 60 {
			z := random(src, 7, c.Dim)
			v := q.Forward(new(tensor.Arena), z, nil)

			type batch struct{ counts, sums []float64 }
			batches := make([]batch, c.Books())
			for m := range q.Books {
				batches[m] = batch{make([]float64, entries), make([]float64, entries*dim)}
				for r := range v.Codes {
					k := entryOf(c, v, r, m)
					batches[m].counts[k]++
					x := plainPoints(q, z.Row(r), m, func(s int) []float32 { return q.Books[s].Entries.Value.Row(int(entryOf(c, v, r, s))) })
					for d, x := range x {
						batches[m].sums[int(k)*dim+d] += x
					}
				}
			}
			q.Keep(v)
			q.Update(src)

			for m, b := range q.Books {
				total := 0.0
				for k := range counts[m] {
					counts[m][k] = decay*counts[m][k] + (1-decay)*batches[m].counts[k]
					total += counts[m][k]
					for d := range dim {
						sums[m][k*dim+d] = decay*sums[m][k*dim+d] + (1-decay)*batches[m].sums[k*dim+d]
					}
				}
				for k := range counts[m] {
					if got := float64(b.Counts.Data[k]); math.Abs(got-counts[m][k]) > 1e-5 {
						t.Fatalf("%s: codebook %d, count %d is %g, want %g", name, m, k, got, counts[m][k])
					}
					if c.Codebook == ByLoss {
						continue
					}
					scale := (counts[m][k] + epsilon) / (total + entries*epsilon) * total
					if b.OnSphere {
						scale = 0
						for _, x := range sums[m][k*dim : (k+1)*dim] {
							scale += x * x
						}
						scale = math.Sqrt(scale)
					}
					for d := range dim {
						if got := float64(b.Sums.Row(k)[d]); math.Abs(got-sums[m][k*dim+d]) > 1e-5 {
							t.Fatalf("%s: codebook %d, sum %d %d is %g, want %g", name, m, k, d, got, sums[m][k*dim+d])
						}
						want := sums[m][k*dim+d] / scale
						if got := float64(b.Entries.Value.Row(k)[d]); math.Abs(got-want) > 1e-4*max(1, math.Abs(want)) {
							t.Fatalf("%s: codebook %d, entry %d %d is %g, want %g", name, m, k, d, got, want)
						}
					}
				}
			}
		}
		for m, b := range q.Books {
			if c.Codebook == ByLoss && !b.OnSphere && (b.Sums.Data != nil || !slices.Equal(b.Entries.Value.Data, first[m])) {
				t.Errorf("%s: averages have changed a codebook that is trained by loss", name)
			}
		}
	}
}

// TestSphere: by cosine distance the length of a vector is of no account, entries of the first stage stay on the sphere whatever
// trains them, and a vector of zeros has an answer.
func TestSphere(t *testing.T) {
	for name, c := range variants() {
		if c.Distance != Cosine {
			continue
		}
		q, src := NewQuantiser(c, rand.NewPCG(1, 2)), rand.NewPCG(4, 5)
		a := new(tensor.Arena)
		z := random(src, 40, c.Dim)
		onSphere := func(when string) {
			for m, b := range q.Books {
				if b.OnSphere != (m%c.Stages == 0) {
					t.Fatalf("%s: codebook %d on the sphere: %t", name, m, b.OnSphere)
				}
				for k := range c.Entries {
					if e := b.Entries.Value.Row(k); b.OnSphere && math.Abs(inner(e, e)-1) > 1e-6 {
						t.Errorf("%s: %s entry %d of codebook %d has the length %g", name, when, k, m, math.Sqrt(inner(e, e)))
					}
				}
			}
		}
		onSphere("at first")
		if err := q.initialise(z, src); err != nil {
			t.Fatal(err)
		}
		onSphere("after initialisation")
		if err := q.initialise(tensor.From(z.Data[:2*c.Dim], 2, c.Dim), src); err != nil { // too few
			t.Fatal(err)
		}
		onSphere("after initialisation from two vectors")
		v := q.Forward(a, z, nil)
		for m, b := range q.Books {
			for r := range z.Rows() {
				from, to := q.part(m)
				part := z.Row(r)[from:to]
				best := inner(part, b.Entries.Value.Row(int(entryOf(c, v, r, m))))
				for k := range c.Entries {
					if other := inner(part, b.Entries.Value.Row(k)); b.OnSphere && other > best+1e-5 {
						t.Errorf("%s: vector %d has a cosine of %g, with entry %d of %g", name, r, best, k, other)
					}
				}
			}
		}
		if c.Stages == 1 {
			sum := 0.0
			for r := range z.Rows() {
				sum += 2 - 2*inner(z.Row(r), v.Vectors.Row(r))/math.Sqrt(inner(z.Row(r), z.Row(r)))
			}
			if want := 0.25 * sum / float64(z.Len()); math.Abs(v.Commitment-want) > 1e-6 {
				t.Errorf("%s: a commitment loss of %g, want %g", name, v.Commitment, want)
			}
		}

		for _, scale := range []float32{1e-30, 1e-3, 1e30} {
			scaled := tensor.New(z.Shape()...)
			for i, x := range z.Data {
				scaled.Data[i] = scale * x
			}
			if other := q.Forward(a, scaled, nil); !slices.Equal(other.Codes, v.Codes) || other.Lost > 0 {
				t.Errorf("%s: other codes for vectors of %g the length, %d lost", name, scale, other.Lost)
			}
		}
		for step := range 30 {
			z := random(src, 40, c.Dim)
			v := q.Forward(a, z, nil)
			q.Backward(a, z, v, z)
			for _, b := range q.Books {
				for i, g := range b.Entries.Grad.Data { // by loss
					b.Entries.Value.Data[i] -= g
					b.Entries.Grad.Data[i] = 0
				}
			}
			q.Keep(v)
			q.Config.Dead = float64(step % 2)
			q.Update(src)
			onSphere("after updates")
		}

		zero := tensor.New(1, c.Dim)
		v = q.Forward(a, zero, nil)
		axis := tensor.New(1, c.Dim)
		for g := range c.Groups {
			axis.Data[g*c.Dim/c.Groups] = 3
		}
		if want := q.Forward(a, axis, nil); v.Lost != 0 || !slices.Equal(v.Codes, want.Codes) || v.Commitment != want.Commitment {
			t.Errorf("%s: zeros have the code %d and a loss of %g, the first axis %d and %g", name, v.Codes[0], v.Commitment, want.Codes[0], want.Commitment)
		}
		if dz := q.Backward(a, zero, v, axis); slices.ContainsFunc(dz.Data, func(d float32) bool { return d != 0 }) {
			t.Errorf("%s: zeros have the gradient %v", name, dz.Data)
		}
		// An entry that nothing is left of keeps its direction.
		b := q.Books[0]
		if b.Sums.Data != nil {
			clear(b.Sums.Data)
			before := slices.Clone(b.Entries.Value.Row(1))
			q.Config.Dead = 0
			z := random(src, 1, c.Dim)
			copy(z.Data, b.Entries.Value.Row(0))
			q.Keep(q.Forward(a, z, nil))
			q.Update(src)
			if !slices.Equal(b.Entries.Value.Row(1), before) {
				t.Errorf("%s: an entry without a sum goes from %v to %v", name, before, b.Entries.Value.Row(1))
			}
			onSphere("without sums")
		}
	}
}

// TestDead lets entries die.
func TestDead(t *testing.T) {
	for _, codebook := range []string{ByAverage, ByLoss} {
		q := newQuantiser(codebook)
		q.Config.Dead = 0.5
		b := q.Books[0]
		for k := range 5 {
			b.restart(k, []float32{float32(10 * k), 0, 0})
		}
		batch := tensor.From([]float32{
			10, 1, 0,
			10, 2, 0,
			float32(math.NaN()), 0, 0,
			30, 1, 0,
			30, 2, 0,
		}, 5, 3)
		src := rand.NewPCG(1, 1)
		for step := 1; ; step++ {
			q.Keep(q.Forward(new(tensor.Arena), batch, nil))
			r := q.Update(src)
			if math.Pow(0.9, float64(step)) >= 0.5 {
				if r.Count() > 0 {
					t.Fatalf("codebook by %s: entries %v are replaced in step %d", codebook, r, step)
				}
				continue
			}
			if len(r) != 1 || !slices.Equal(r[0], []int32{0, 2, 4}) || r.Count() != 3 {
				t.Fatalf("codebook by %s: entries %v are replaced in step %d, want 0, 2, 4", codebook, r, step)
			}
			break
		}
		seen := map[[2]float32]bool{}
		for _, k := range []int{0, 2, 4} {
			e := b.Entries.Value.Row(k)
			if (e[0] != 10 && e[0] != 30) || (e[1] != 1 && e[1] != 2) || e[2] != 0 {
				t.Errorf("codebook by %s: entry %d is %v, which the batch does not have", codebook, k, e)
			}
			seen[[2]float32{e[0], e[1]}] = true
			if b.Counts.Data[k] != 1 || codebook == ByAverage && !slices.Equal(b.Sums.Row(k), e) {
				t.Errorf("codebook by %s: entry %d starts with a count of %g", codebook, k, b.Counts.Data[k])
			}
		}
		if len(seen) != 3 {
			t.Errorf("codebook by %s: three entries are replaced by %d vectors", codebook, len(seen))
		}
		for _, k := range []int{1, 3} {
			if b.Counts.Data[k] < 1 {
				t.Errorf("codebook by %s: count %g of entry %d, which is used", codebook, b.Counts.Data[k], k)
			}
		}
		// More dead entries than vectors: these are taken again.
		for k := range 5 {
			b.Counts.Data[k] = 0
		}
		z := tensor.From([]float32{1, 2, 3}, 1, 3)
		q.Keep(q.Forward(new(tensor.Arena), z, nil))
		if r := q.Update(src); r.Count() != 5 {
			t.Errorf("codebook by %s: entries %v are replaced, want all", codebook, r)
		}
		for k := range 5 {
			if !slices.Equal(b.Entries.Value.Row(k), z.Data) {
				t.Errorf("codebook by %s: entry %d is %v", codebook, k, b.Entries.Value.Row(k))
			}
		}
		if r := q.Update(src); r.Count() != 0 {
			t.Errorf("codebook by %s: without a batch %v are replaced", codebook, r)
		}
	}
}

// TestDeadOfSeveral: a dead entry of any codebook becomes a point that this codebook has quantised.
func TestDeadOfSeveral(t *testing.T) {
	for name, c := range variants() {
		q, src := NewQuantiser(c, rand.NewPCG(1, 2)), rand.NewPCG(3, 4)
		q.Config.Dead = 0.5
		z := random(src, 9, c.Dim)
		v := q.Forward(new(tensor.Arena), z, nil)
		for _, b := range q.Books {
			b.Counts.Data[1], b.Counts.Data[3] = -10, -10
		}
		var points [][][]float64
		for m := range q.Books {
			var of [][]float64
			for r := range z.Rows() {
				of = append(of, plainPoints(q, z.Row(r), m, func(s int) []float32 { return q.Books[s].Entries.Value.Row(int(entryOf(c, v, r, s))) }))
			}
			points = append(points, of)
		}
		q.Keep(v)
		r := q.Update(src)
		if len(r) != c.Books() || r.Count() != 2*c.Books() {
			t.Errorf("%s: entries %v are replaced", name, r)
		}
		for m, b := range q.Books {
			for _, k := range []int{1, 3} {
				e := b.Entries.Value.Row(k)
				if !slices.ContainsFunc(points[m], func(x []float64) bool { return squaredDistance(x, e) < 1e-10 }) {
					t.Errorf("%s: entry %d of codebook %d is %v, which is no point of the batch", name, k, m, e)
				}
			}
		}
	}
}

func TestJitter(t *testing.T) {
	a := new(tensor.Arena)
	const batch, frames = 40, 500
	for _, p := range []float64{0, 0.12, 0.5, 1} {
		sources := jitter(a, p, frames, batch, rand.NewPCG(1, 1))
		var before, after, inside int
		for i, from := range sources {
			at := i % frames
			if d := int(from) - i; d < -1 || d > 1 || at == 0 && d < 0 || at == frames-1 && d > 0 {
				t.Fatalf("frame %d of %d is taken from %d frames on", at, frames, d)
			}
			if at == 0 || at == frames-1 {
				continue
			}
			inside++
			switch int(from) - i {
			case -1:
				before++
			case 1:
				after++
			}
		}
		deviation := 5 * math.Sqrt(p/2*(1-p/2)/float64(inside))
		for _, n := range []int{before, after} {
			if share := float64(n) / float64(inside); math.Abs(share-p/2) > deviation {
				t.Errorf("probability %g: %g of the frames are taken from one neighbour", p, share)
			}
		}
	}
	if got := jitter(a, 1, 1, 3, rand.NewPCG(1, 1)); !slices.Equal(got, []int32{0, 1, 2}) {
		t.Errorf("single frames are taken from %v", got)
	}
	if got := jitter(a, 1, 0, 3, rand.NewPCG(1, 1)); len(got) != 0 {
		t.Errorf("no frames are taken from %v", got)
	}
}

func TestInitialise(t *testing.T) {
	for _, codebook := range []string{ByAverage, ByLoss} {
		// Many vectors, most of them the same.
		q := newQuantiser(codebook)
		b := q.Books[0]
		var z []float32
		for i := range 100 {
			z = append(z, float32(max(0, i-94)), 1, 2)
		}
		z = append(z, float32(math.NaN()), 7, 7, 7, float32(math.Inf(-1)), 7)
		if q.Initialised.Data[0] != 0 {
			t.Error("initialised from the start")
		}
		if err := q.initialise(tensor.From(z, 102, 3), rand.NewPCG(1, 1)); err != nil {
			t.Fatal(err)
		}
		if q.Initialised.Data[0] != 1 {
			t.Error("not initialised in the end")
		}
		seen := map[float32]bool{}
		for k := range 5 {
			e := b.Entries.Value.Row(k)
			seen[e[0]] = true
			if e[0] < 0 || e[0] > 5 || e[0] != float32(int(e[0])) || e[1] != 1 || e[2] != 2 || b.Counts.Data[k] != 1 ||
				codebook == ByAverage && !slices.Equal(b.Sums.Row(k), e) {
				t.Errorf("entry %d is %v, its count %g", k, e, b.Counts.Data[k])
			}
		}
		if len(seen) != 5 {
			t.Errorf("%d distinct entries", len(seen))
		}

		// Too few.
		if err := q.initialise(tensor.From([]float32{1, 2, 3, 4, 5, 6}, 2, 3), rand.NewPCG(1, 1)); err != nil {
			t.Fatal(err)
		}
		distinct := map[[3]float32]bool{}
		for k := range 5 {
			e := b.Entries.Value.Row(k)
			distinct[[3]float32(e)] = true
			near := func(v ...float32) bool {
				return !slices.ContainsFunc([]int{0, 1, 2}, func(d int) bool { return math.Abs(float64(e[d]-v[d])) > 0.2 })
			}
			if !near(1, 2, 3) && !near(4, 5, 6) {
				t.Errorf("entry %d is %v", k, e)
			}
		}
		if len(distinct) != 5 {
			t.Errorf("%d distinct entries", len(distinct))
		}
	}
}

// TestInitialiseSeveral: each codebook begins with points that it quantises; those of later stages are residuals, and so each stage
// comes nearer. Some codebooks alone can be made anew. From nothing nothing is changed.
func TestInitialiseSeveral(t *testing.T) {
	for name, c := range variants() {
		c.Entries = 16
		q := NewQuantiser(c, rand.NewPCG(1, 2))
		state := func() [][]float32 { return append(snapshot(q.Parameters()), snapshot(q.State())...) }
		src, a := rand.NewPCG(5, 6), new(tensor.Arena)
		before := state()
		nan := tensor.New(2, c.Dim)
		nan.Data[0], nan.Data[c.Dim] = float32(math.NaN()), float32(math.Inf(1))
		for _, z := range []tensor.Tensor{tensor.New(0, c.Dim), nan} {
			if err := q.initialise(z, src); err == nil || !equal(state(), before) {
				t.Errorf("%s: initialised from %v: error %v", name, z, err)
			}
		}
		z := random(src, 200, c.Dim)
		z.Row(7)[0] = float32(math.NaN())
		if err := q.initialise(z, src); err != nil {
			t.Fatal(err)
		}
		z = tensor.From(z.Data[8*c.Dim:], 192, c.Dim)
		v := q.Forward(a, z, nil)
		for m, b := range q.Books {
			if m%c.Stages > 0 {
				var here, stage float64
				for r := range z.Rows() {
					x := plainPoints(q, z.Row(r), m, func(s int) []float32 { return q.Books[s].Entries.Value.Row(int(entryOf(c, v, r, s))) })
					for _, v := range x {
						here += v * v
					}
					stage += squaredDistance(x, b.Entries.Value.Row(int(entryOf(c, v, r, m))))
				}
				if !(stage < 0.8*here) {
					t.Errorf("%s: codebook %d leaves a square of %g of %g", name, m, stage, here)
				}
			}
			if !finite(b.Entries.Value.Data) {
				t.Errorf("%s: codebook %d holds NaN", name, m)
			}
		}
		// The last codebook alone.
		was := make([][]float32, c.Books())
		for m, b := range q.Books {
			was[m] = slices.Clone(b.Entries.Value.Data)
		}
		last := c.Books() - 1
		if err := q.initialise(z, src, last); err != nil {
			t.Fatal(err)
		}
		for m, b := range q.Books {
			if slices.Equal(b.Entries.Value.Data, was[m]) != (m != last) {
				t.Errorf("%s: codebook %d after initialising %d alone", name, m, last)
			}
		}
	}
}

// TestDigits: a code is the number whose digits are the entries.
func TestDigits(t *testing.T) {
	for _, c := range []struct {
		entries, groups, stages int
		digits                  []int32
		code                    int32
		codes                   int
	}{
		{512, 1, 1, []int32{77}, 77, 512},
		{10, 2, 2, []int32{9, 0, 2, 5}, 9025, 10000},
		{46340, 1, 2, []int32{46339, 46339}, 2147395599, 2147395600},
		{1, 3, 1, []int32{0, 0, 0}, 0, 1},
		{2, 5, 6, slices.Repeat([]int32{1}, 30), 1<<30 - 1, 1 << 30},
	} {
		b := BottleneckConfig{Kind: VQ, Dim: 4 * c.groups, Entries: c.entries, Groups: c.groups, Stages: c.stages, Distance: Cosine, Codebook: ByLoss}
		if err := b.check(); err != nil {
			t.Error(err)
		}
		if got := b.Join(c.digits); got != c.code || b.Codes() != c.codes {
			t.Errorf("%d of %v to base %d, of %d codes; want %d of %d", got, c.digits, c.entries, b.Codes(), c.code, c.codes)
		}
		got := make([]int32, len(c.digits))
		if b.Split(got, c.code); !slices.Equal(got, c.digits) {
			t.Errorf("digits %v of %d, want %v", got, c.code, c.digits)
		}
	}
}
