package vqvae

import (
	"math"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// What trains a codebook: [BottleneckConfig].Codebook.
const (
	ByAverage = "average" // the moving average of what is assigned to each entry (the paper, appendix A.1)
	ByLoss    = "loss"    // the second term of equation 3
)

// Codebook is one table of entries of a [Quantiser]: it replaces a point, which is one part of an encoder's vector or what earlier
// codebooks have left of it, by the nearest entry.
type Codebook struct {
	Entries *nn.Parameter // [K, d]; its gradient is used only if it is trained by loss
	Counts  tensor.Tensor // [K], the moving average N of how often each entry is used in a batch
	Sums    tensor.Tensor // [K, d], the moving average m of the sum of what is assigned to each; none if trained by loss

	// OnSphere says that entries, as the points that they stand for, have length 1.
	OnSphere bool

	// The latest batch, for update, without lost vectors: [rows, d] and their entries.
	latest      []float32
	latestCodes []int32
}

// startCount is the moving count of an entry that is new.
const startCount = 1

// smoothing is epsilon of the Laplace smoothing of counts, as in the authors' program.
const smoothing = 1e-5

// newCodebook returns a codebook of normal values, or of directions of such.
func newCodebook(entries, dim int, by string, onSphere bool, src rand.Source) *Codebook {
	b := &Codebook{Entries: nn.NewParameter("codebook", entries, dim), Counts: tensor.New(entries), OnSphere: onSphere}
	if by == ByAverage {
		b.Sums = tensor.New(entries, dim)
	}
	nn.Normal(b.Entries.Value, 1, src)
	b.Project(b.Entries.Value)
	for k := range entries {
		b.restart(k, b.Entries.Value.Row(k))
	}
	return b
}

// Project takes entries, those of the codebook or an average of them over time, back to length 1 if they are to have it.
func (b *Codebook) Project(entries tensor.Tensor) {
	if !b.OnSphere {
		return
	}
	for k := range entries.Rows() {
		toSphere(entries.Row(k), entries.Row(k))
	}
}

// toSphere writes the direction of x to u, both of as many elements, and returns the length of x. Zeros have none: then u stays as
// it is.
func toSphere(u, x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	length := math.Sqrt(sum)
	if length == 0 {
		return 0
	}
	for i, v := range x {
		u[i] = float32(float64(v) / length)
	}
	return length
}

// fromSphere turns d, the gradient with respect to the direction u of a vector, into that with respect to the vector, which has the
// length given: (d - u <u, d>) / length. For a vector of zeros it is 0.
func fromSphere(d, u []float32, length float64) {
	if length == 0 {
		clear(d)
		return
	}
	along := 0.0
	for i, v := range u {
		along += float64(v) * float64(d[i])
	}
	for i, v := range u {
		d[i] = float32((float64(d[i]) - float64(v)*along) / length)
	}
}

// restart makes v entry k, as one that is new.
func (b *Codebook) restart(k int, v []float32) {
	copy(b.Entries.Value.Row(k), v)
	b.Counts.Data[k] = startCount
	if b.Sums.Data != nil {
		copy(b.Sums.Row(k), v)
		kernel.Scale(b.Sums.Row(k), startCount)
	}
}

// parameters returns "codebook" if it is trained by loss.
func (b *Codebook) parameters() nn.Parameters {
	if b.Sums.Data != nil {
		return nil
	}
	return nn.Parameters{b.Entries}
}

// state returns "codebook" and "sums" if it is trained by average, and "counts".
func (b *Codebook) state() nn.Parameters {
	var ps nn.Parameters
	if b.Sums.Data != nil {
		ps = append(ps, &nn.Parameter{Name: b.Entries.Name, Value: b.Entries.Value}, &nn.Parameter{Name: "sums", Value: b.Sums})
	}
	return append(ps, &nn.Parameter{Name: "counts", Value: b.Counts})
}

// packedLen is the number of floats that pack needs.
func (b *Codebook) packedLen() int {
	return kernel.CodebookLen(b.Entries.Value.Dim(0), b.Entries.Value.Dim(1))
}

// pack packs the entries into dst.
func (b *Codebook) pack(dst []float32) kernel.Codebook {
	return kernel.PackCodebook(dst, b.Entries.Value.Data, b.Entries.Value.Dim(0), b.Entries.Value.Dim(1))
}

// nearest finds the entries nearest to points, and the squares of their distances; 0 and +Inf for one that is lost. The points lie
// stride apart.
func nearest(codes []int32, distances, points []float32, stride int, book kernel.Codebook) {
	parallel.RunCopy(&searches, parallel.Blocks(len(codes), searchRows), search{codes, distances, points, stride, book})
}

// searchRows is the number of points in an item of a search.
const searchRows = 64

type search struct {
	codes     []int32
	distances []float32
	points    []float32
	stride    int
	book      kernel.Codebook
}

var searches parallel.Pool[search]

func (t *search) Run(item int) {
	from, to := parallel.Block(item, len(t.codes), searchRows)
	kernel.Nearest(t.codes[from:to], t.distances[from:to], t.points[from*t.stride:], t.stride, to-from, t.book)
}

func lost(distance float32) bool { return math.IsInf(float64(distance), 1) }

// keep adds a point and its entry to the latest batch.
func (b *Codebook) keep(point []float32, k int32) {
	b.latest = append(b.latest, point...)
	b.latestCodes = append(b.latestCodes, k)
}

// forget empties the latest batch.
func (b *Codebook) forget() { b.latest, b.latestCodes = b.latest[:0], b.latestCodes[:0] }

// update takes the latest batch, which is not empty, into the averages, as [Quantiser.Update] says, and replaces dead entries, which
// it returns.
func (b *Codebook) update(decay, dead float64, src rand.Source) (replaced []int32) {
	entries, dim, move := b.Entries.Value.Dim(0), b.Entries.Value.Dim(1), float32(1-decay)
	kernel.Scale(b.Counts.Data, float32(decay))
	for _, k := range b.latestCodes {
		b.Counts.Data[k] += move
	}
	if b.Sums.Data != nil {
		kernel.Scale(b.Sums.Data, float32(decay))
		for r, k := range b.latestCodes {
			kernel.AddScaled(b.Sums.Row(int(k)), move, b.latest[r*dim:(r+1)*dim])
		}
		total := 0.0
		for _, n := range b.Counts.Data {
			total += float64(n)
		}
		for k, n := range b.Counts.Data {
			if b.OnSphere {
				toSphere(b.Entries.Value.Row(k), b.Sums.Row(k))
				continue
			}
			smooth := (float64(n) + smoothing) / (total + float64(entries)*smoothing) * total
			copy(b.Entries.Value.Row(k), b.Sums.Row(k))
			kernel.Scale(b.Entries.Value.Row(k), float32(1/smooth))
		}
	} else {
		b.Project(b.Entries.Value)
	}
	return b.replaceDead(dead, src)
}

func (b *Codebook) replaceDead(dead float64, src rand.Source) (replaced []int32) {
	for k, n := range b.Counts.Data {
		if float64(n) < dead {
			replaced = append(replaced, int32(k))
		}
	}
	if len(replaced) == 0 {
		return nil
	}
	dim := b.Entries.Value.Dim(1)
	order := rand.New(src).Perm(len(b.latestCodes))
	for i, k := range replaced {
		row := order[i%len(order)]
		b.restart(int(k), b.latest[row*dim:(row+1)*dim])
	}
	return replaced
}

// spread is the deviation of the noise, relative to that of all points, that keeps entries apart that start from the same.
const spread = 0.01

// initialise makes the entries of distinct ones of the points [rows, d], drawn from src. If they are too few, they are taken again
// with a little noise. Points that are not finite are left out; if there is none but these, nothing changes.
func (b *Codebook) initialise(points []float32, src rand.Source) {
	dim, r := b.Entries.Value.Dim(1), rand.New(src)
	seen := map[string]bool{}
	var distinct []int // rows
	var squares, sum, n float64
	key := make([]byte, 4*dim)
	for _, row := range r.Perm(len(points) / dim) {
		v := points[row*dim : (row+1)*dim]
		if !finite(v) {
			continue
		}
		for i, x := range v {
			bits := math.Float32bits(x)
			key[4*i], key[4*i+1], key[4*i+2], key[4*i+3] = byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24)
			sum, squares, n = sum+float64(x), squares+float64(x)*float64(x), n+1
		}
		if !seen[string(key)] {
			seen[string(key)] = true
			distinct = append(distinct, row)
		}
	}
	if len(distinct) == 0 {
		return
	}
	deviation := math.Sqrt(max(0, squares/n-sum/n*sum/n))
	v := make([]float32, dim)
	for k := range b.Entries.Value.Dim(0) {
		row := distinct[k%len(distinct)]
		copy(v, points[row*dim:])
		if k >= len(distinct) {
			for i := range v {
				v[i] += float32(spread * deviation * r.NormFloat64())
			}
			if b.OnSphere {
				toSphere(v, v)
			}
		}
		b.restart(k, v)
	}
}
