package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/vqvae"
)

// TestEstimate: what is estimated hangs together, and the sizes are those of the files of a training.
func TestEstimate(t *testing.T) {
	for _, kind := range []string{vqvae.VQ, vqvae.VAE, vqvae.None} {
		c, dir := tiny(t, 5000), t.TempDir()
		c.Model.Bottleneck.Kind = kind
		e, err := runEstimate(t.Context(), c, corpus("a", "b"), 0.3, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{e.Speed, e.Validation, e.Saving, e.Step, e.EpochHours, e.SamplerSpeed, e.EncoderSpeed} {
			if !(v > 0) || math.IsInf(v, 0) {
				t.Errorf("%s: %+v", kind, e)
			}
		}
		// six utterances of 2000 + 300 i samples of each of two speakers
		if e.EpochSamples != 2*(6*2000+300*15) || e.EpochSteps != float64(e.EpochSamples)/1024 || e.Sampling != 0 || e.Steps < wantedSteps-1 ||
			!(e.EpochHours > e.StepHours) || e.Budget == nil || e.Budget.Steps != 5000 || math.Abs(e.Budget.Hours-e.Budget.Epochs*e.EpochHours) > 1e-9 {
			t.Errorf("%s: %+v, budget %+v", kind, e, e.Budget)
		}
		if _, err := os.Stat("/proc/self/status"); err == nil && !(e.Memory > e.Mapped && e.Mapped > 0) {
			t.Errorf("%s: memory %d, %d of it mapped", kind, e.Memory, e.Mapped)
		}

		// A training of the same configuration has as large files, but for how times and history are written.
		real := t.TempDir()
		c.Training.Steps, c.Training.ValidateEvery = 1, 0
		if _, err := Run(t.Context(), c, Options{Corpus: corpus("a", "b"), Out: real}); err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct {
			name string
			size int64
		}{{last(real, 0), e.Checkpoint}, {filepath.Join(real, BestName), e.Model}} {
			file, err := checkpoint.Load(f.name, dilated.Float32)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(f.name)
			if err != nil {
				t.Fatal(err)
			}
			if d := info.Size() - f.size; d < -64 || d > int64(2*len(file.Training)) {
				t.Errorf("%s: %s has %d bytes, estimated %d", kind, f.name, info.Size(), f.size)
			}
		}
		// And what was measured is what lies there.
		for name, size := range map[string]int64{last(dir, 0): e.Checkpoint, filepath.Join(dir, BestName): e.Model} {
			if info, err := os.Stat(name); err != nil || info.Size() != size {
				t.Errorf("%s: %v, %v, estimated %d", kind, info, err, size)
			}
		}
	}
}

// TestEstimateOfMuch: where steps would take too long, smaller ones are measured.
func TestEstimateOfMuch(t *testing.T) {
	c := tiny(t, 0)
	c.Training.Batch, c.Training.Segment, c.Training.Minutes, c.Training.SampleEvery = 256, 1<<13, 3, 20
	e, err := RunEstimate(t.Context(), c, corpus("a", "b"), 0.05)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Smaller || e.Batch*e.Segment >= 1<<21 || e.Segment%64 != 0 || e.Step < float64(1<<21)/e.Speed*0.999 || !(e.Sampling > 0) ||
		e.Budget == nil || math.Abs(e.Budget.Hours-0.05) > 1e-9 {
		t.Errorf("%+v, budget %+v", e, e.Budget)
	}
}

func TestEstimateFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := RunEstimate(ctx, tiny(t, 0), corpus("a", "b"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	c := tiny(t, 0)
	c.Model.Rate = 8000
	if _, err := RunEstimate(t.Context(), c, corpus("a", "b"), 1); err == nil {
		t.Error("another rate is no error")
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v is left behind, %v", left, err)
	}
}
