package enrol

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// worker has the decoder predict pieces in a voice.
type worker struct {
	ctx         context.Context
	decoder     *wavenet.Net // fixed
	voices      tensor.Tensor
	arena       *tensor.Arena
	done, total int
	progress    func(done, total int)
}

// What it takes to go on by a piece, in units of progress: a prediction of a short piece, of a piece, the gradient of one.
const (
	shortCost    = 1
	pieceCost    = pieceSamples / shortSamples
	gradientCost = 3 * pieceCost
)

func newWorker(ctx context.Context, m *vqvae.Model, progress func(done, total int)) *worker {
	return &worker{ctx: ctx, decoder: m.Decoder.Fixed(), voices: m.Voices.Table.Value, arena: new(tensor.Arena), progress: progress}
}

// advance takes note that some of the work is done.
func (w *worker) advance(cost int) error {
	w.arena.Reset()
	w.done += cost
	if w.progress != nil {
		w.progress(w.done, w.total)
	}
	return w.ctx.Err()
}

func (p piece) input(voice []float32) wavenet.Input {
	return wavenet.Input{Steps: p.levels, Batch: 1, Local: p.local, Global: tensor.From(voice, 1, len(voice))}
}

// nll is the mean over the samples of all pieces, each of which costs so much.
func (w *worker) nll(pieces []piece, voice []float32, cost int) (float64, error) {
	sum, n := 0.0, 0
	for _, p := range pieces {
		sum += w.decoder.Loss(w.arena, p.input(voice)) * float64(len(p.levels))
		n += len(p.levels)
		if err := w.advance(cost); err != nil {
			return 0, err
		}
	}
	return sum / float64(n), nil
}

// gradient makes the gradient of voice that of the NLL of a piece.
func (w *worker) gradient(p piece, voice *nn.Parameter) error {
	_, _, dglobal := w.decoder.LossGradient(w.arena, p.input(voice.Value.Data))
	copy(voice.Grad.Data, dglobal.Data)
	return w.advance(gradientCost)
}

// Voices are tried against each other on short pieces: all on the first four, the best quarter of them on four times as many, and
// so on, until one is left, or those that are were tried on all. (With a hundred voices and sixteen seconds of speech that found the
// one that is best on all of the speech in 180 of 180 orders of the pieces; on pieces of the full length, as many in all, in 179.)
const (
	triedFirst = 4
	triedShare = 4
)

// nearest returns the voice of the model that predicts the short pieces best, as far as such a trial finds it.
func (w *worker) nearest(pieces []piece) (int32, error) {
	type candidate struct {
		id  int32
		nll float64
	}
	list := make([]candidate, w.voices.Dim(0))
	for id := range list {
		list[id].id = int32(id)
	}
	for n := triedFirst; len(list) > 1; n *= triedShare {
		n = min(n, len(pieces))
		for i := range list {
			nll, err := w.nll(pieces[:n], w.voices.Row(int(list[i].id)), shortCost)
			if err != nil {
				return 0, err
			}
			if list[i].nll = nll; math.IsNaN(nll) {
				list[i].nll = math.Inf(1)
			}
		}
		slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(a.nll, b.nll) })
		if n == len(pieces) {
			break
		}
		list = list[:(len(list)+triedShare-1)/triedShare]
	}
	return list[0].id, nil
}

// nearestCost is what nearest takes of so many voices.
func nearestCost(voices, pieces int) int {
	cost := 0
	for n := triedFirst; voices > 1; n *= triedShare {
		n = min(n, pieces)
		cost += n * voices * shortCost
		if n == pieces {
			break
		}
		voices = (voices + triedShare - 1) / triedShare
	}
	return cost
}
