package experiment

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/vqvae"
)

// What is said here follows from the figures alone, whichever way they come out.

// ignored is what shuffled latents cost a decoder, in nats per sample, below which it is said to ignore its latents. Both
// likelihoods are of the same crops, so that differences are known far better than either.
const ignored = 0.01

// empty is the divergence, in bits per frame, below which latents are said to tell nothing.
const empty = 0.5

// alike is a difference of bounds, in nats per sample, that another seed might turn round.
const alike = 0.01

// tableRows is the largest number of validations in the table over training.
const tableRows = 12

// collapsed reports whether the decoder ignores its latents.
func collapsed(r evaluate.Report) bool { return lost(r) < ignored }

// Explain returns what came out, in paragraphs, with the figures that it rests on: those of the last validation of each run.
func (c *Collapse) Explain() []string {
	runs := map[string]Run{}
	for _, r := range c.Runs {
		runs[r.Kind] = r
	}
	paragraphs := []string{c.question(), c.explainVAE(runs[vqvae.VAE], runs[vqvae.VQ]), c.explainVQ(runs[vqvae.VQ]), c.explainNone(runs[vqvae.None], runs[vqvae.VQ])}
	paragraphs = append(paragraphs, c.compare(runs[vqvae.VAE], runs[vqvae.VQ]))
	if c.Runs[0].Test != nil {
		text := "On the test split, which had no part in any of this, the best model of each run gives, with its own and with shuffled latents, "
		for i, r := range c.Runs {
			if i > 0 {
				text += ", "
			}
			text += fmt.Sprintf("%.3f and %.3f nats per sample (%s)", r.Test.True, r.Test.Shuffled, r.Kind)
		}
		paragraphs = append(paragraphs, text+".")
	}
	return paragraphs
}

// question says what was compared, and how to read it.
func (c *Collapse) question() string {
	m, s := c.Config.Model, c.Config.Training
	last := c.Runs[0].Validations[len(c.Runs[0].Validations)-1]
	return fmt.Sprintf("A decoder that predicts each sample from the %d before it can do much without being told anything. Does it use what it is told? "+
		"Three models were trained on the same segments, for %d steps of %d x %d samples; they differ only in what lies between encoder and decoder: "+
		"the latents of a variational autoencoder (vae), a codebook (vq), or nothing (none). Every %d samples are a frame of latents. "+
		"Each was then measured on %d crops of speech that it was not trained on, with the latents of the sound, and with those of other sound (shuffled). "+
		"A decoder that listens is misled by the latter; one that ignores its latents does not notice. "+
		"(What it loses then is no measure of what it gains by true ones: it is worse to be misled than to be told nothing.)",
		m.WaveNet().ReceptiveField(), last.Step, s.Batch, s.Segment, m.Hop(), last.Crops)
}

// explainVAE says what became of the variational autoencoder.
func (c *Collapse) explainVAE(r, vq Run) string {
	v, b := r.last(), c.Config.Model.Bottleneck
	cost := b.KL * c.perSample(1)
	weight := fmt.Sprintf("(its weight is %g", b.KL)
	if b.KLWarmUp > 0 {
		weight += fmt.Sprintf(", to which it rises over %d steps", b.KLWarmUp)
	}
	weight += ")"
	told := fmt.Sprintf("its latents tell %.3g bits per frame, and with those of other sound the decoder loses %.3f nats per sample (%.3f instead of %.3f)",
		v.KL, lost(v), v.Shuffled, v.True)
	text := ""
	switch {
	case collapsed(v) && v.KL < empty:
		text = fmt.Sprintf("**The variational autoencoder collapsed**: %s. In its loss a bit in every frame costs %.4f nats per sample %s, from the first step on, while "+
			"a decoder has to learn before it gains by one, and its own past tells it much of the same. So it is cheaper to tell nothing: "+
			"the posterior becomes the prior, the latents noise, and the decoder learns to do without.", told, cost, weight)
	case collapsed(v):
		text = fmt.Sprintf("**The decoder of the variational autoencoder ignores its latents, though they are not empty**: %s. A bit in every frame costs %.4f nats per sample "+
			"of its loss %s, for which the decoder gives nothing yet.", told, cost, weight)
	default:
		text = fmt.Sprintf("**The variational autoencoder did not collapse**: %s. In its loss a bit in every frame costs %.4f nats per sample %s; "+
			"what the decoder gains by its bits is worth that here, so training keeps them.", told, cost, weight)
	}
	if o := vq.last(); !collapsed(o) {
		rate, _ := entropy(vq.Kind, o)
		text += fmt.Sprintf(" Beside the model with codes it tells %.0f %% of the bits, and loses %.0f %% of what that one loses.", 100*v.KL/rate, 100*lost(v)/lost(o))
	}
	first, most := r.Validations[0], r.Validations[0]
	for _, o := range r.Validations {
		if o.KL > most.KL {
			most = o
		}
	}
	if len(r.Validations) > 1 {
		end := r.Validations[len(r.Validations)-1]
		text += fmt.Sprintf(" Over training the divergence went from %.3g bits per frame at step %d to %.3g at step %d", first.KL, first.Step, end.KL, end.Step)
		if most.Step != first.Step && most.Step != end.Step {
			text += fmt.Sprintf(", by way of %.3g at step %d", most.KL, most.Step)
		}
		text += "."
	}
	return text
}

// explainVQ says what became of the model with codes.
func (c *Collapse) explainVQ(r Run) string {
	v := r.last()
	cost, _ := bits(r.Kind, v)
	spoken, _ := entropy(r.Kind, v)
	figures := fmt.Sprintf("codes of other sound cost its decoder %.3f nats per sample (%.3f instead of %.3f); %d of %d codes occur, with a perplexity of %.0f, which is %.1f bits per frame",
		lost(v), v.Shuffled, v.True, v.Used, v.Entries, v.Perplexity, spoken)
	if collapsed(v) {
		return "**The model with codes ignores them too**: " + figures + ". That a code costs the same whatever it says does not make a decoder listen to it."
	}
	return fmt.Sprintf("**The model with codes uses them**: %s. A code costs log2 %d = %.3g bits whatever it says: the divergence from a uniform prior is a constant, which "+
		"has no gradient, and there is nothing to be saved by saying nothing.", figures, v.Entries, cost)
}

// explainNone says what became of the model without a bottleneck.
func (c *Collapse) explainNone(r, vq Run) string {
	v := r.last()
	text := "**Without a bottleneck** the decoder is told the encoder's vectors as they are: "
	if collapsed(v) {
		text += fmt.Sprintf("it ignores them all the same; those of other sound cost it %.3f nats per sample (%.3f instead of %.3f).", lost(v), v.Shuffled, v.True)
	} else {
		text += fmt.Sprintf("it uses them; those of other sound cost it %.3f nats per sample (%.3f instead of %.3f).", lost(v), v.Shuffled, v.True)
	}
	return text + fmt.Sprintf(" With its own it predicts %.3f nats per sample %s than the model with codes. Vectors of real numbers have no rate: nothing limits what they tell, so "+
		"their likelihood is not one of the sound alone.", math.Abs(v.True-vq.last().True), than(v.True-vq.last().True))
}

// than is a difference of negative log-likelihoods in words.
func than(difference float64) string {
	if difference < 0 {
		return "better"
	}
	return "worse"
}

// compare weighs what latents bring against what they cost.
func (c *Collapse) compare(vae, vq Run) string {
	a, b := vae.last(), vq.last()
	boundA, _ := c.bound(vae.Kind, a)
	boundB, _ := c.bound(vq.Kind, b)
	costB, _ := bits(vq.Kind, b)
	text := fmt.Sprintf("Counting what is told, which makes an upper bound of the negative log-likelihood of the sound: vae %.3f + %.3f = %.3f nats per sample, "+
		"vq %.3f + %.3f = %.3f.", a.Sampled, c.perSample(a.KL), boundA, b.True, c.perSample(costB), boundB)
	gain := a.True - b.True
	switch {
	case math.Abs(boundA-boundB) < alike:
		text += fmt.Sprintf(" By that measure one run of each does not tell which is the better model of the sound: they differ by %.3f.", math.Abs(boundA-boundB))
	case boundA < boundB && collapsed(a):
		text += " By that measure the model that tells nothing is the better one, and training found it: a bound of the likelihood does not ask for latents that say something. " +
			"Who wants a representation wants the codes."
	case boundA < boundB:
		text += " By that measure the variational autoencoder is the better model of the sound."
	default:
		text += " By that measure the codes are the better model of the sound, although their cost is not trained."
	}
	if collapsed(a) {
		text += fmt.Sprintf(" Beside a decoder that is told nothing, codes change the likelihood by %+.3f nats per sample, or %+.1f bits per frame.", -gain, -gain/c.perSample(1))
	}
	return text
}

// column returns a figure for a table, a dash where there is none.
func column(format string, v float64, ok bool) string {
	if !ok {
		return "–"
	}
	return fmt.Sprintf(format, v)
}

// Markdown returns a page with what came out: in words, as a table, with the plot, which is to be in the file that is named.
func (c *Collapse) Markdown(plot string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Posterior collapse\n")
	for _, p := range c.Explain() {
		line("%s\n", p)
	}
	line("![negative log-likelihoods and bits per frame over training](%s)\n", plot)
	c.table(line)

	line("\nOver training:\n")
	line("| step | vae: own | shuffled | bits per frame | vq: own | shuffled | entropy, bits per frame | none: own | shuffled |")
	line("|---|---|---|---|---|---|---|---|---|")
	n := len(c.Runs[0].Validations)
	rows := min(n, tableRows)
	for i := range rows {
		at := (i+1)*n/rows - 1
		text := fmt.Sprintf("| %d |", c.Runs[0].Validations[at].Step)
		for _, r := range c.Runs {
			v := r.Validations[at].Report
			text += fmt.Sprintf(" %.3f | %.3f |", v.True, v.Shuffled)
			switch r.Kind {
			case vqvae.VAE:
				text += fmt.Sprintf(" %.3g |", v.KL)
			case vqvae.VQ:
				rate, _ := entropy(r.Kind, v)
				text += fmt.Sprintf(" %.2f |", rate)
			}
		}
		line("%s", text)
	}
	line("\nNegative log-likelihoods are in nats per sample; those of vae are with the means of its latents. Its bound, which is the negative evidence lower bound, "+
		"takes samples of them instead, and that of vq counts log2 K bits a code. Each is one run, with the seed %d, of %d steps.", c.Config.Training.Seed, c.Runs[0].Steps)
	return b.String()
}

// table writes the figures at the end of training, and on the test split.
func (c *Collapse) table(line func(string, ...any)) {
	line("| | split | step | own latents | shuffled | loss by shuffling | bits per frame | bound |")
	line("|---|---|---|---|---|---|---|---|")
	for _, r := range c.Runs {
		all := r.Validations[len(r.Validations)-1:]
		if r.Test != nil {
			all = append(all[:1:1], *r.Test)
		}
		for _, v := range all {
			cost, known := bits(r.Kind, v.Report)
			bound, _ := c.bound(r.Kind, v.Report)
			line("| %s | %s | %d | %.3f | %.3f | %.3f | %s | %s |", r.Kind, v.Split, v.Step, v.True, v.Shuffled, lost(v.Report),
				column("%.3g", cost, known), column("%.3f", bound, known))
		}
	}
}

// The files of an experiment, beside the folders of its runs.
const (
	PageName  = "collapse.md"
	TableName = "collapse.tsv"
	PlotName  = "collapse.png"
)

// Write writes collapse.md, collapse.tsv and collapse.png to a folder.
func (c *Collapse) Write(dir string) error {
	drawn, err := c.Draw()
	if err != nil {
		return err
	}
	var plot bytes.Buffer
	if err := png.Encode(&plot, drawn); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, data := range map[string][]byte{PageName: []byte(c.Markdown(PlotName)), TableName: c.TSV(), PlotName: plot.Bytes()} {
		if err := files.Write(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}
