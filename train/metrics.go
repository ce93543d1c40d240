package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/vqvae"
)

// metricsName is a file of JSON lines: one for every LogEvery steps of training, for each validation, and for what else
// happens. All begin with the step, which counts from 1, and end with the seconds spent, over all starts. But for these an
// interrupted training leaves the same lines as one that was not.
const metricsName = "metrics.jsonl"

// trainingLine is about the steps since the one before. Losses are means over those that were not skipped.
type trainingLine struct {
	Step         int     `json:"step"`
	Loss         float64 `json:"loss"` // nll + commitment + codebook + kl
	NLL          float64 `json:"nll"`  // in nats per sample
	Commitment   float64 `json:"commitment"`
	Codebook     float64 `json:"codebook"`
	KL           float64 `json:"kl"`                // weighted, in nats per sample
	KLPerFrame   float64 `json:"kl_bits_per_frame"` // as it is
	Norm         float64 `json:"gradient_norm"`     // before clipping
	LearningRate float64 `json:"learning_rate"`     // of the last step

	// Of the codes of the last 100 steps; 0 for a model without codes.
	Perplexity   float64   `json:"perplexity"`
	Perplexities []float64 `json:"perplexities,omitempty"` // of each codebook, if there are several
	Used         int       `json:"used"`                   // different codes

	Replaced int     `json:"replaced"` // dead entries
	Samples  int64   `json:"samples"`  // trained on so far
	Seconds  float64 `json:"seconds"`
}

// validationLine is a validation.
type validationLine struct {
	Step       int        `json:"step"`
	Validation Validation `json:"validation"`
	Best       bool       `json:"best"` // so far
	Seconds    float64    `json:"seconds"`
}

// ReadValidations returns the validations of the run in the folder dir, in the order of their steps. Lines of its metrics that
// are damaged give a *[files.FormatError]; what a program that was killed left of its last line is left out.
func ReadValidations(dir string) ([]Validation, error) {
	name := filepath.Join(dir, metricsName)
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var all []Validation
	number := 0
	for text := range bytes.Lines(data) {
		number++
		if !bytes.HasSuffix(text, []byte("\n")) {
			break
		}
		var l struct {
			Validation *Validation `json:"validation"`
		}
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, &files.FormatError{File: name, Offset: -1, Line: number, Found: err.Error(), Expected: "a line of the metrics of a run"}
		}
		if l.Validation != nil {
			all = append(all, *l.Validation)
		}
	}
	return all, nil
}

// line is an event.
type line struct {
	Step      int     `json:"step"`
	Skipped   string  `json:"skipped,omitempty"`             // why the step changed nothing
	BackTo    *int    `json:"back_to,omitempty"`             // the step whose weights are in place again
	Scale     float64 `json:"learning_rate_scale,omitempty"` // since then
	Collapsed float64 `json:"collapsed,omitempty"`           // the perplexity of the codebook that was made anew
	Codebook  *int    `json:"collapsed_codebook,omitempty"`  // its number, if there are several
	Seconds   float64 `json:"seconds"`
}

// window sums up steps for the next line.
type window struct {
	Steps      int     `json:"steps"` // that were not skipped
	NLL        float64 `json:"nll"`
	Commitment float64 `json:"commitment"`
	Codebook   float64 `json:"codebook"`
	KL         float64 `json:"kl"`
	KLPerFrame float64 `json:"kl_per_frame"` // in nats
	Norm       float64 `json:"norm"`
	Replaced   int     `json:"replaced"`
}

func (w *window) add(l vqvae.Losses, norm float64, replaced int) {
	w.Steps++
	w.NLL += l.NLL
	w.Commitment += l.Commitment
	w.Codebook += l.Codebook
	w.KL += l.KL
	w.KLPerFrame += l.KLPerFrame
	w.Norm += norm
	w.Replaced += replaced
}

// log writes the metrics.
type log struct {
	metrics *os.File
	events  *eventFile
}

// openLog opens the metrics of a run behind their first lines, and deletes what comes after them: what was written after the
// checkpoint that a training goes on from.
func openLog(dir string, lines, step int) (*log, error) {
	f, err := os.OpenFile(filepath.Join(dir, metricsName), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(f.Name())
	if err == nil {
		end := 0
		for range lines {
			next := bytes.IndexByte(data[end:], '\n')
			if next < 0 {
				err = fmt.Errorf("%s has fewer than the %d lines of step %d: put it back, or start in another folder", f.Name(), lines, step)
				break
			}
			end += next + 1
		}
		if err == nil {
			err = f.Truncate(int64(end))
		}
		if err == nil {
			_, err = f.Seek(int64(end), 0)
		}
	}
	var events *eventFile
	if err == nil {
		events, err = createEvents(dir, step+1)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &log{f, events}, nil
}

func (l *log) close() { l.metrics.Close(); l.events.Close() }

// sync makes what was written durable.
func (l *log) sync() error {
	if err := l.metrics.Sync(); err != nil {
		return err
	}
	return l.events.flush()
}

// write appends a line.
func (r *loop) write(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := r.log.metrics.Write(append(data, '\n')); err != nil {
		return err
	}
	r.at.Lines++
	return nil
}

func (r *run) logTraining(rate float64) error {
	w := r.state.Window
	r.state.Window = window{}
	if w.Steps == 0 {
		return nil
	}
	n := float64(w.Steps)
	perplexity, used := r.recent.all()
	t := trainingLine{
		Step: r.state.Step, Loss: (w.NLL + w.Commitment + w.Codebook + w.KL) / n, NLL: w.NLL / n, Commitment: w.Commitment / n, Codebook: w.Codebook / n,
		KL: w.KL / n, KLPerFrame: w.KLPerFrame / math.Ln2 / n, Norm: w.Norm / n, LearningRate: rate,
		Perplexity: perplexity, Perplexities: r.recent.books(), Used: used, Replaced: w.Replaced, Samples: r.state.Samples, Seconds: r.seconds(),
	}
	values := map[string]float64{"train/loss": t.Loss, "train/nll": t.NLL, "train/gradient_norm": t.Norm, "train/learning_rate": t.LearningRate}
	switch r.config.Model.Bottleneck.Kind {
	case vqvae.VQ:
		values["train/commitment"], values["train/codebook"] = t.Commitment, t.Codebook
		values["codes/perplexity"], values["codes/used"], values["codes/replaced"] = t.Perplexity, float64(t.Used), float64(t.Replaced)
		for m, p := range t.Perplexities {
			values[fmt.Sprintf("codes/perplexity_%d", m)] = p
		}
	case vqvae.VAE:
		values["train/kl"], values["train/kl_bits_per_frame"] = t.KL, t.KLPerFrame
	}
	r.log.events.scalars(t.Step, values)
	return r.write(t)
}

func (r *run) logValidation(v Validation) error {
	numbers := map[string]float64{
		"validation/true": v.True, "validation/shuffled": v.Shuffled, "validation/constant": v.Constant,
	}
	if v.WrongSpeaker != 0 { // of a model that has two speakers
		numbers["validation/wrong_speaker"] = v.WrongSpeaker
	}
	switch r.config.Model.Bottleneck.Kind {
	case vqvae.VQ:
		numbers["validation/perplexity"], numbers["validation/used"] = v.Perplexity, float64(v.Used)
	case vqvae.VAE:
		numbers["validation/kl_bits_per_frame"], numbers["validation/sampled"] = v.KL, v.Sampled
	}
	r.log.events.scalars(v.Step, numbers)
	return r.write(validationLine{v.Step, v, r.state.Best.Step == v.Step, r.seconds()})
}

func (r *loop) logEvent(e line) error {
	e.Step, e.Seconds = r.at.Step, r.seconds()
	return r.write(e)
}
