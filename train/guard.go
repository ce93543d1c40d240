package train

import (
	"errors"
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/vqvae"
)

// A step whose loss or gradient is not finite, or whose loss jumps, is skipped: nothing changes but the batch. After tooMany of
// them in a row the weights go back to the last checkpoint, and the rate of learning is halved. When that has happened
// tooOften, without calm good steps in a row between, the training stops.
//
// A loss jumps if it exceeds the moving mean of the losses by jumpDeviations of their moving standard deviation and by
// jumpMargin nats, once there are settled of them.
const (
	tooMany        = 5
	tooOften       = 3
	calm           = 1000
	lossDecay      = 0.99
	jumpDeviations = 6
	jumpMargin     = 0.5
	settled        = 100
)

// guard watches the losses. The zero value is ready.
type guard struct {
	Mean      float64 `json:"mean"` // of the losses of good steps, moving
	Variance  float64 `json:"variance"`
	Seen      int     `json:"seen"`      // good steps that mean and variance come from
	Bad       int     `json:"bad"`       // bad steps in a row
	Good      int     `json:"good"`      // good steps in a row
	Rollbacks int     `json:"rollbacks"` // in a row: without calm between
	Halvings  int     `json:"halvings"`  // of the rate of learning
}

// scale is the factor of the rate of learning.
func (g *guard) scale() float64 { return math.Ldexp(1, -g.Halvings) }

// check takes a step's loss and the norm of its gradient, and returns what is wrong with them, "" if nothing is.
func (g *guard) check(loss, norm float64) string {
	deviation := math.Sqrt(g.Variance)
	why := ""
	switch {
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		why = fmt.Sprintf("the loss is %v", loss)
	case math.IsNaN(norm) || math.IsInf(norm, 0):
		why = fmt.Sprintf("the norm of the gradient is %v", norm)
	case g.Seen >= settled && loss > g.Mean+jumpDeviations*deviation+jumpMargin:
		why = fmt.Sprintf("the loss jumps to %.3f, from a mean of %.3f with a deviation of %.3f", loss, g.Mean, deviation)
	}
	if why != "" {
		g.Bad, g.Good = g.Bad+1, 0
		return why
	}
	g.Bad, g.Good = 0, g.Good+1
	if g.Good >= calm {
		g.Rollbacks = 0
	}
	g.Seen++
	move := max(1-lossDecay, 1/float64(g.Seen))
	d := loss - g.Mean
	g.Mean += move * d
	g.Variance = (1 - move) * (g.Variance + move*d*d)
	return ""
}

// forget begins mean and variance anew, where the loss may rightly be another.
func (g *guard) forget() { g.Mean, g.Variance, g.Seen = 0, 0, 0 }

// survive reports a step that was skipped, and goes back to the last checkpoint after too many of them.
func (r *run) survive(why string) error {
	r.note("step %d skipped: %s", r.state.Step, why)
	if err := r.logEvent(line{Skipped: why}); err != nil || r.state.Guard.Bad < tooMany {
		return err
	}
	return r.rollBack(why)
}

// rollBack puts the weights of the last checkpoint in the place of the present ones; those of the checkpoint before it if that
// has been of no use, and so on. Only regular checkpoints count, which an interruption adds nothing to: so an interrupted
// training goes back to where one that was not interrupted would.
func (r *run) rollBack(why string) error {
	g := &r.state.Guard
	if g.Rollbacks == tooOften {
		return fmt.Errorf("the training does not get on, after going back %d times: %s. Try a lower training.learning_rate, in another folder", g.Rollbacks, why)
	}
	g.Bad = 0
	g.Rollbacks++
	g.Halvings++
	g.forget()

	var file *checkpoint.File
	before := r.state.Step
	for range g.Rollbacks {
		f, step, err := r.folder.load(before-1, r.config.Training.SaveEvery, r.note)
		if err != nil {
			return err
		}
		if f != nil {
			file, before = f, step
		}
	}
	if file == nil {
		return errors.New("there is no checkpoint to go back to")
	}
	if err := r.restore(file); err != nil {
		return err
	}
	r.note("step %d: back to the weights of step %d, learning rate halved", r.state.Step, before)
	return r.logEvent(line{BackTo: &before, Scale: g.scale()})
}

// checkWeights goes back to the last checkpoint if weights are not finite, before they are kept anywhere.
func (r *run) checkWeights() error {
	for _, p := range r.parameters {
		for _, w := range p.Value.Data {
			if w-w != 0 {
				why := "the weights are no longer finite: " + p.Name
				r.note("step %d: %s", r.state.Step, why)
				if err := r.logEvent(line{Skipped: why}); err != nil {
					return err
				}
				return r.rollBack(why)
			}
		}
	}
	return nil
}

const (
	// countDecay is that of the moving sum of how often each entry is used: about the last 100 steps.
	countDecay = 0.99
	// collapsed is the perplexity, as a share of the entries, below which a codebook has collapsed. One of few entries has when
	// all but one are hardly used: below collapsedToOne.
	collapsed      = 0.02
	collapsedToOne = 1.1
	// collapseEvery is the number of steps from one look at the codebook to the next.
	collapseEvery = 250
)

// count takes the codes of a step.
func (r *run) count(codes []int32) {
	for k := range r.counts.Data {
		r.counts.Data[k] *= countDecay
	}
	for _, k := range codes {
		r.counts.Data[k]++
	}
}

// codes returns the perplexity of the codes of the last steps, and how many entries occur in them.
func (r *run) codes() (perplexity float64, used int) {
	total := 0.0
	for _, n := range r.counts.Data {
		total += float64(n)
	}
	entropy := 0.0
	for _, n := range r.counts.Data {
		if n >= 0.3 { // once in the last 100 steps
			used++
		}
		if n > 0 {
			p := float64(n) / total
			entropy -= p * math.Log(p)
		}
	}
	return math.Exp(entropy), used
}

// watchCodebook makes a codebook that has collapsed anew, of the encoder's outputs for the last batch.
func (r *run) watchCodebook() error {
	if r.state.Step%collapseEvery != 0 || r.state.Guard.Bad > 0 {
		return nil
	}
	perplexity, used := r.codes()
	entries := r.config.Model.Quantiser.Entries
	if entries == 1 || perplexity >= max(collapsedToOne, collapsed*float64(entries)) {
		return nil
	}
	if err := r.model.InitialiseCodebook(&r.arena, []vqvae.Batch{r.batch}, r.draw("collapse")); err != nil {
		return err
	}
	copy(r.averageBook.Data, r.model.Quantiser.Codebook.Value.Data)
	r.counts.Zero()
	r.state.Guard.forget()
	r.note("step %d: the codebook had collapsed to a perplexity of %.1f, %d entries in use; it was made anew of encoder outputs",
		r.state.Step, perplexity, used)
	return r.logEvent(line{Collapsed: perplexity})
}
