package evaluate

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/vqaudio/vqaudio/corpora"
	"github.com/vqaudio/vqaudio/wavenet"
)

// TestSamplerNLL wants of the sampler the likelihoods of the whole-sequence pass, in float32 but for the order of sums, and in fewer bits
// nearly.
func TestSamplerNLL(t *testing.T) {
	m, cache := testModel(t, testConfig), testCorpus()
	o := Options{Split: corpora.Valid, Crop: 160, Batch: 2}
	want, err := NLL(t.Context(), m, cache, o)
	if err != nil {
		t.Fatal(err)
	}
	for p, most := range map[wavenet.Precision]float64{wavenet.Float32: 1e-7, wavenet.BFloat16: 1e-3, wavenet.Int8: 1e-2} {
		calls := 0
		o.Progress = func(done, total int) {
			if calls++; done != calls || total != want.Crops {
				t.Errorf("progress %d of %d at call %d", done, total, calls)
			}
		}
		got, err := SamplerNLL(t.Context(), m, cache, p, o)
		if err != nil || math.Abs(got.NLL-want.True) > most*want.True || p != wavenet.Float32 && got.NLL == want.True || got.Samples != want.Crops*o.Crop || calls != want.Crops {
			t.Errorf("%v: %v nats per sample, want %v; %d calls, error %v", p, got, want.True, calls, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := SamplerNLL(ctx, m, cache, wavenet.Int8, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}
