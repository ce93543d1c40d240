package enrol

import (
	"context"

	"github.com/vqaudio/vqaudio/frontend"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

// piece is a stretch of speech as the decoder takes it, of whole frames.
type piece struct {
	levels []int32       // [F*hop]
	local  tensor.Tensor // [1, F, D]: what the decoder is told of them
}

// speech is what there is of a voice, clip by clip.
type speech []piece

// encode encodes clips. Silence follows each up to a whole frame.
func encode(ctx context.Context, m *vqvae.Model, clips [][]float32) (speech, error) {
	front, err := frontend.New(m.Config)
	if err != nil {
		return nil, err
	}
	encoder := frontend.NewEncoder(front, m)
	var s speech
	for _, x := range clips {
		if len(x) == 0 {
			continue
		}
		b := front.NewBatch(1, len(x))
		front.Fill(&b, x)
		var local []float32
		block := make([]float64, 0, 1<<14)
		for i, v := range x {
			if block = append(block, float64(v)); len(block) == cap(block) || i == len(x)-1 {
				local = append(local, encoder.Write(block).Vectors.Data...)
				block = block[:0]
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		local = append(local, encoder.Close().Vectors.Data...)
		frames := len(b.Levels) / m.Config.Hop()
		s = append(s, piece{b.Levels, tensor.From(local, 1, frames, len(local)/frames)})
	}
	return s, nil
}

// samples is the length of speech.
func (s speech) samples() int {
	n := 0
	for _, p := range s {
		n += len(p.levels)
	}
	return n
}

// part returns frames [from, to) of a piece.
func (p piece) part(from, to, hop int) piece {
	dim := p.local.Channels()
	return piece{p.levels[from*hop : to*hop], tensor.From(p.local.Data[from*dim:to*dim], 1, to-from, dim)}
}

// heldOut is the share of the speech that is held out: one in so many.
const heldOut = 5

// divide holds the last clips out, as many as make up a fifth of all frames. If with the next one they would be more than half of
// all, a part of that one is enough. There are five frames or more.
func (s speech) divide(hop int) (fitted, out speech) {
	total := s.samples() / hop
	want, held := (total+heldOut-1)/heldOut, 0
	for i := len(s) - 1; ; i-- {
		frames := s[i].local.Dim(1)
		if held+frames > total/2 {
			keep := frames - (want - held)
			fitted, out = append(fitted, s[:i]...), append(out, s[i].part(keep, frames, hop))
			return append(fitted, s[i].part(0, keep, hop)), append(out, s[i+1:]...)
		}
		if held += frames; held >= want {
			return s[:i], s[i:]
		}
	}
}

// pieceSamples is the length of a piece, about: that of the crops in the measures of package evaluate. Those of the trial of
// voices are shorter.
const (
	pieceSamples = 8192
	shortSamples = 2048
)

// pieces cuts the clips into pieces of so many samples, about; the last of a clip may be shorter.
func (s speech) pieces(hop, samples int) []piece {
	length := max(1, samples/hop)
	var all []piece
	for _, p := range s {
		n := p.local.Dim(1)
		for from := 0; from < n; from += length {
			all = append(all, p.part(from, min(from+length, n), hop))
		}
	}
	return all
}
