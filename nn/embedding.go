package nn

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
)

// Embedding is a table with a vector for each id: of a speaker, a class, a quantised sample.
type Embedding struct {
	Table *Parameter // [ids, channels]
}

// NewEmbedding returns a table for ids in [0, size), its elements normal with deviation 1.
func NewEmbedding(size, channels int, src rand.Source) *Embedding {
	e := &Embedding{NewParameter("weight", size, channels)}
	Normal(e.Table.Value, 1, src)
	return e
}

// Fixed returns an embedding with the same table, whose Backward does nothing.
func (e *Embedding) Fixed() *Embedding { return &Embedding{e.Table.Fixed()} }

// Parameters returns the table, as "weight".
func (e *Embedding) Parameters() Parameters { return Parameters{e.Table} }

// Forward returns the vectors of the ids, [len(ids), channels]. An id outside the table panics.
func (e *Embedding) Forward(a *tensor.Arena, ids []int32) tensor.Tensor {
	e.check(ids)
	y := a.Tensor(len(ids), e.Table.Value.Dim(1))
	n := y.Channels()
	block := max(1, elementBlock/max(n, 1))
	parallel.RunCopy(&lookups, parallel.Blocks(len(ids), block), lookup{ids, e.Table.Value.Data, y.Data, n, block})
	return y
}

// Backward adds the gradients dy [len(ids), channels] (of any rank) to those of the ids' vectors, in the order of the ids.
func (e *Embedding) Backward(ids []int32, dy tensor.Tensor) {
	e.check(ids)
	n := e.Table.Value.Dim(1)
	if dy.Channels() != n || dy.Rows() != len(ids) {
		panic(fmt.Sprintf("nn.Embedding: %d ids, gradient of shape %v, table of shape %v", len(ids), dy, e.Table.Value))
	}
	if e.Table.Grad.Data == nil {
		return
	}
	// y[i] = table[ids[i]]: dtable[ids[i]] += dy[i]. In parallel over channels, as an id may be there many times.
	parallel.RunCopy(&scatters, parallel.Blocks(n, scatterChannels), scatter{ids, e.Table.Grad.Data, dy.Data, n})
}

func (e *Embedding) check(ids []int32) {
	size := e.Table.Value.Dim(0)
	for i, id := range ids {
		if id < 0 || int(id) >= size {
			panic(fmt.Sprintf("nn.Embedding: id %d at position %d is outside [0, %d)", id, i, size))
		}
	}
}

type lookup struct {
	ids      []int32
	table, y []float32
	n, block int
}

var lookups parallel.Pool[lookup]

func (t *lookup) Run(item int) {
	from, to := parallel.Block(item, len(t.ids), t.block)
	for i := from; i < to; i++ {
		id := int(t.ids[i])
		copy(t.y[i*t.n:(i+1)*t.n], t.table[id*t.n:(id+1)*t.n])
	}
}

// scatterChannels is the number of channels in an item of Backward.
const scatterChannels = 64

type scatter struct {
	ids      []int32
	grad, dy []float32
	n        int
}

var scatters parallel.Pool[scatter]

func (t *scatter) Run(item int) {
	from, to := parallel.Block(item, t.n, scatterChannels)
	for i, id := range t.ids {
		kernel.Add(t.grad[int(id)*t.n+from:int(id)*t.n+to], t.dy[i*t.n+from:i*t.n+to])
	}
}
