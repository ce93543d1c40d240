package evaluate

import (
	"context"
	"sync"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/internal/parallel"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// SamplerReport is what [SamplerNLL] has found.
type SamplerReport struct {
	NLL     float64 // nats per sample, the mean over all
	Samples int     // that it went over
}

// SamplerNLL measures the negative log-likelihood that the decoder's sampler, with weights of the precision p,
// gives to crops of the corpus, each from its own start, with its codes and its speaker: what [Report].True is for the decoder as it is
// trained. In float32 they are the same. It goes over what [NLL] goes over, and has its errors.
func SamplerNLL(ctx context.Context, m *vqvae.Model, cache *corpora.Cache, p wavenet.Precision, o Options) (SamplerReport, error) {
	crops, speakers, err := o.plan(m, cache)
	if err != nil {
		return SamplerReport{}, err
	}
	sampler := wavenet.NewSampler(m.Decoder, p)
	nlls := make([]float64, len(crops))
	var mu sync.Mutex
	var failed error
	done := 0
	parallel.For(min(parallel.Threads(), len(crops)), func(worker int) {
		s, a := sampler.Another(), new(tensor.Arena)
		b, err := newBatch(m, 1, o.Crop)
		for i := worker; i < len(crops); i += parallel.Threads() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
				return
			}
			b.read(cache, crops[i:i+1], speakers)
			var voice tensor.Tensor
			if m.Voices != nil {
				voice = m.Voices.Forward(a, b.Speakers)
			}
			condition := m.Decoder.Project(a, m.Latent(a, b.Input).Vectors, voice, 1)
			nlls[i] = s.NLL(a, b.Levels, condition)
			a.Reset()
			mu.Lock()
			if done++; o.Progress != nil {
				o.Progress(done, len(crops))
			}
			mu.Unlock()
		}
	})
	if failed != nil {
		return SamplerReport{}, failed
	}
	sum := 0.0
	for _, v := range nlls {
		sum += v
	}
	return SamplerReport{sum / float64(len(crops)), len(crops) * o.Crop}, nil
}
