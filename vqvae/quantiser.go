package vqvae

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// How far a vector is from an entry: [BottleneckConfig].Distance.
const (
	Euclidean = "euclidean" // |z - e|
	Cosine    = "cosine"    // the angle between them
)

// Quantiser replaces each vector z_e of the encoder by entries of codebooks: with one codebook, by the nearest entry (the paper,
// equations 1 and 2).
//
// With several groups, D is divided into as many parts, which are quantised each by codebooks of its own (Jegou, Douze & Schmid,
// Product Quantization for Nearest Neighbor Search, 2011). With several stages, the codebook of each stage quantises what those
// before it have left over, and the result is the sum of their entries (residual quantisation: Zeghidour et al., SoundStream,
// arXiv 2107.03312, algorithm 1). A code stands for the entries of all codebooks, see [BottleneckConfig.Join]: those of the
// stages of the first group, then those of the second, and so on.
//
// With x_1 = z_e or a part of it, and x_s+1 = x_s - e_s what stage s leaves, n the number of elements of z_e, and sums over all
// groups and stages, the losses are
//
//	commitment = Beta/n sum |x_s - sg[e_s]|^2
//	codebook   = 1/n    sum |sg[x_s] - e_s|^2       (if codebooks are trained by loss)
//
// where entries of earlier stages count as constants in x_s (the loss of each stage as in Défossez et al., EnCodec, arXiv
// 2210.13438, section 3.4). The gradient with respect to the sum of entries is handed to z_e as it is (straight-through).
//
// By Cosine distance x_1 is the direction of z_e, or of its part, a vector of length 1, and so are the entries of the first
// stage: the nearest entry is that of the largest cosine, and |x_1 - e_1|^2 in the losses is 2 - 2 cosine. The gradient goes
// to z_e through the normalisation. A part that is all zeros counts as pointing along the first axis, and gets no gradient.
// Later stages quantise what is left of the direction, by entries of any length, the nearest by Euclidean distance.
//
// Of several nearest entries the lowest is taken. A vector that is, in one of its parts, without an entry at a finite distance, one
// that holds NaN above all, is lost: such a part gets entry 0, the losses become infinite (NaN if Beta is 0), so that the step
// is to be skipped, and the vector never comes into the averages or the codebooks.
type Quantiser struct {
	Config      BottleneckConfig
	Books       []*Codebook   // [Groups*Stages]: of all stages of the first group, of the second, ...
	Initialised tensor.Tensor // [1], 1 once the codebooks were initialised from encoder outputs, else 0

	entries []int32   // for Keep: of a vector,
	left    []float32 // and what they leave
}

// NewQuantiser returns a quantiser with codebooks of normal values, which are to be initialised.
func NewQuantiser(c BottleneckConfig, src rand.Source) *Quantiser {
	q := &Quantiser{Config: c, Initialised: tensor.New(1), entries: make([]int32, c.Books()), left: make([]float32, c.Dim/c.Groups)}
	for m := range c.Books() {
		q.Books = append(q.Books, newCodebook(c.Entries, c.Dim/c.Groups, c.Codebook, c.Distance == Cosine && m%c.Stages == 0, src))
	}
	return q
}

// Codebooks returns the entries of all codebooks, whatever trains them: "codebook", or "0.codebook", "1.codebook", ... of several.
func (q *Quantiser) Codebooks() nn.Parameters {
	return q.named(func(b *Codebook) nn.Parameters { return nn.Parameters{b.Entries} })
}

// Parameters returns what the optimiser trains: if that is by loss, Codebooks.
func (q *Quantiser) Parameters() nn.Parameters {
	return q.named((*Codebook).parameters)
}

// State returns what else a checkpoint has to hold: "codebook" if it is trained by average, "sums" and "counts", each of them for
// every codebook, as Parameters; and "initialised".
func (q *Quantiser) State() nn.Parameters {
	return append(q.named((*Codebook).state), &nn.Parameter{Name: "initialised", Value: q.Initialised})
}

func (q *Quantiser) named(of func(*Codebook) nn.Parameters) nn.Parameters {
	var ps nn.Parameters
	for m, b := range q.Books {
		if len(q.Books) == 1 {
			return of(b)
		}
		ps = append(ps, of(b).Named(strconv.Itoa(m))...)
	}
	return ps
}

// part is the range [from, to) of channels of codebook m's group.
func (q *Quantiser) part(m int) (from, to int) {
	d := q.Config.Dim / q.Config.Groups
	return m / q.Config.Stages * d, (m/q.Config.Stages + 1) * d
}

// Forward quantises z [..., D]. It draws nothing.
func (q *Quantiser) Forward(a *tensor.Arena, z tensor.Tensor, _ rand.Source) Latent {
	return q.quantise(a, z, nil)
}

// pack returns the codebooks in the form for searching, in memory of their own.
func (q *Quantiser) pack() []kernel.Codebook {
	var packed []kernel.Codebook
	for _, b := range q.Books {
		packed = append(packed, b.pack(make([]float32, b.packedLen())))
	}
	return packed
}

// quantise is Forward with codebooks that are packed already; without them it packs them.
func (q *Quantiser) quantise(a *tensor.Arena, z tensor.Tensor, packed []kernel.Codebook) Latent {
	if z.Rank() == 0 || z.Channels() != q.Config.Dim {
		panic(fmt.Sprintf("vqvae.Quantiser: vectors of shape %v, want %d channels", z, q.Config.Dim))
	}
	rows := z.Rows()
	v := Latent{Codes: a.Int32s(rows), Vectors: a.Like(z), points: z, distances: a.Floats(rows)}
	if q.Config.Distance == Cosine {
		v.points, v.lengths = q.directions(a, z)
	}
	clear(v.Codes)
	clear(v.distances)
	scratch := a.Mark()
	left := v.points
	if q.Config.Stages > 1 {
		left = a.Like(z)
		copy(left.Data, v.points.Data)
	}
	entries, distances := a.Int32s(rows), a.Floats(rows)
	for m, b := range q.Books {
		from, to := q.part(m)
		inner := a.Mark()
		var book kernel.Codebook
		if packed != nil {
			book = packed[m]
		} else {
			book = b.pack(a.Floats(b.packedLen()))
		}
		if rows > 0 {
			nearest(entries, distances, left.Data[from:], z.Channels(), book)
		}
		a.Release(inner)
		for r, k := range entries {
			v.Codes[r] = q.Config.join(v.Codes[r], k)
			v.distances[r] += distances[r]
			entry := b.Entries.Value.Row(int(k))
			if m%q.Config.Stages == 0 {
				copy(v.Vectors.Row(r)[from:to], entry)
			} else {
				kernel.Add(v.Vectors.Row(r)[from:to], entry)
			}
			if q.Config.Stages > 1 {
				kernel.AddScaled(left.Row(r)[from:to], -1, entry)
			}
		}
	}
	a.Release(scratch)

	sum := 0.0
	for _, d := range v.distances {
		sum += float64(d)
		if lost(d) {
			v.Lost++
		}
	}
	if rows > 0 {
		mean := sum / float64(z.Len())
		v.Commitment = q.Config.Beta * mean
		if q.Config.Codebook == ByLoss {
			v.Codebook = mean
		}
	}
	return v
}

// directions returns the directions of z's parts, and how long these are.
func (q *Quantiser) directions(a *tensor.Arena, z tensor.Tensor) (u tensor.Tensor, lengths []float64) {
	u, lengths = a.Like(z), a.Float64s(z.Rows()*q.Config.Groups)
	d := q.Config.Dim / q.Config.Groups
	for i := range lengths {
		part := u.Data[i*d : (i+1)*d]
		lengths[i] = toSphere(part, z.Data[i*d:(i+1)*d])
		if lengths[i] == 0 {
			clear(part)
			part[0] = 1
		}
	}
	return u, lengths
}

// Embed returns what the codes stand for, [len(codes), D]. A code outside [0, Codes) panics.
func (q *Quantiser) Embed(a *tensor.Arena, codes []int32) tensor.Tensor {
	y, entries := a.Tensor(len(codes), q.Config.Dim), a.Int32s(len(q.Books))
	for r, code := range codes {
		if code < 0 || int(code) >= q.Config.Codes() {
			panic(fmt.Sprintf("vqvae.Quantiser: code %d at position %d is outside [0, %d)", code, r, q.Config.Codes()))
		}
		q.Config.Split(entries, code)
		for m, k := range entries {
			from, to := q.part(m)
			if entry := q.Books[m].Entries.Value.Row(int(k)); m%q.Config.Stages == 0 {
				copy(y.Row(r)[from:to], entry)
			} else {
				kernel.Add(y.Row(r)[from:to], entry)
			}
		}
	}
	return y
}

// Backward returns the gradient with respect to z, as [Bottleneck] says. If codebooks are trained by loss, it adds to their
// gradients.
func (q *Quantiser) Backward(a *tensor.Arena, z tensor.Tensor, v Latent, dvectors tensor.Tensor) (dz tensor.Tensor) {
	if !z.SameShape(dvectors) || !z.SameShape(v.Vectors) {
		panic(fmt.Sprintf("vqvae.Quantiser: vectors of shape %v, entries %v, gradient %v", z, v.Vectors, dvectors))
	}
	dz = a.Like(z)
	copy(dz.Data, dvectors.Data) // straight-through
	scale := 2 / float64(max(1, z.Len()))
	scratch, d := a.Mark(), q.Config.Dim/q.Config.Groups
	left, entries := a.Floats(d), a.Int32s(len(q.Books))
	for r, code := range v.Codes {
		q.Config.Split(entries, code)
		for m, k := range entries {
			from, to := q.part(m)
			if m%q.Config.Stages == 0 {
				copy(left, v.points.Row(r)[from:to])
			}
			kernel.AddScaled(left, -1, q.Books[m].Entries.Value.Row(int(k)))
			kernel.AddScaled(dz.Row(r)[from:to], float32(q.Config.Beta*scale), left)
			if q.Config.Codebook == ByLoss {
				kernel.AddScaled(q.Books[m].Entries.Grad.Row(int(k)), float32(-scale), left)
			}
		}
	}
	a.Release(scratch)
	for i, length := range v.lengths {
		fromSphere(dz.Data[i*d:(i+1)*d], v.points.Data[i*d:(i+1)*d], length)
	}
	return dz
}

// Keep keeps a batch for Update.
func (q *Quantiser) Keep(v Latent) {
	for _, b := range q.Books {
		b.forget()
	}
	for r, code := range v.Codes {
		if lost(v.distances[r]) {
			continue
		}
		q.Config.Split(q.entries, code)
		for m, k := range q.entries {
			if from, to := q.part(m); m%q.Config.Stages == 0 {
				copy(q.left, v.points.Row(r)[from:to])
			}
			q.Books[m].keep(q.left, k)
			kernel.AddScaled(q.left, -1, q.Books[m].Entries.Value.Row(int(k)))
		}
	}
}

// Update takes the batch that was kept into the averages. With n_k and s_k the number and the sum of what it assigned to entry k of
// a codebook,
//
//	N_k = Decay N_k + (1-Decay) n_k
//	m_k = Decay m_k + (1-Decay) s_k
//	e_k = m_k / smooth(N)_k,   smooth(N)_k = (N_k + eps) / (sum N + K eps) * sum N
//
// where the last two are left out if the codebook is trained by loss. Entries on the sphere are of the direction of m_k, and if they are
// trained by loss are taken back to the sphere. Then each entry with N_k below Dead becomes one of the points that the codebook
// quantised in the batch, drawn from src without replacement as far as they go, and starts anew.
func (q *Quantiser) Update(src rand.Source) Repairs {
	var repairs Repairs
	for m, b := range q.Books {
		if len(b.latestCodes) == 0 {
			return nil
		}
		if replaced := b.update(q.Config.Decay, q.Config.Dead, src); len(replaced) > 0 {
			if repairs == nil {
				repairs = make(Repairs, len(q.Books))
			}
			repairs[m] = replaced
		}
		b.forget()
	}
	return repairs
}

// initialise makes codebooks, those listed or all of them, of the vectors z [rows, D], drawn from src; each of a later stage of what the
// stages before leave of these. It returns an error, and changes nothing, if no vector is finite.
func (q *Quantiser) initialise(z tensor.Tensor, src rand.Source, books ...int) error {
	some := false
	for r := range z.Rows() {
		some = some || finite(z.Row(r))
	}
	if !some {
		return fmt.Errorf("of %d encoder outputs, none is finite", z.Rows())
	}
	a := new(tensor.Arena)
	points := z
	if q.Config.Distance == Cosine {
		points, _ = q.directions(a, z)
	}
	var left tensor.Tensor // of the group
	for m, b := range q.Books {
		from, to := q.part(m)
		if m%q.Config.Stages == 0 {
			left = tensor.New(z.Rows(), to-from)
			for r := range z.Rows() {
				copy(left.Row(r), points.Row(r)[from:to])
			}
		}
		if len(books) == 0 || slices.Contains(books, m) {
			b.initialise(left.Data, src)
		}
		if q.Config.Stages > 1 {
			scratch := a.Mark()
			codes, distances := a.Int32s(z.Rows()), a.Floats(z.Rows())
			nearest(codes, distances, left.Data, to-from, b.pack(a.Floats(b.packedLen())))
			for r, k := range codes {
				kernel.AddScaled(left.Row(r), -1, b.Entries.Value.Row(int(k)))
			}
			a.Release(scratch)
		}
	}
	q.Initialised.Data[0] = 1
	return nil
}
