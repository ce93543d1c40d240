package train

import (
	"errors"
	"fmt"
	"math"
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
func (r *loop) survive(why string) error {
	r.note("step %d skipped: %s", r.at.Step, why)
	if err := r.logEvent(line{Skipped: why}); err != nil || r.at.Guard.Bad < tooMany {
		return err
	}
	return r.rollBack(why)
}

// rollBack puts the weights of the last checkpoint in the place of the present ones; those of the checkpoint before it if that
// has been of no use, and so on. Only regular checkpoints count, which an interruption adds nothing to: so an interrupted
// training goes back to where one that was not interrupted would.
func (r *loop) rollBack(why string) error {
	g := &r.at.Guard
	if g.Rollbacks == tooOften {
		return fmt.Errorf("the training does not get on, after going back %d times: %s. Try a lower training.learning_rate, in another folder", g.Rollbacks, why)
	}
	g.Bad = 0
	g.Rollbacks++
	g.Halvings++
	g.forget()

	var file *stored
	before := r.at.Step
	for range g.Rollbacks {
		f, step, err := r.folder.load(before-1, r.course.SaveEvery, r.task.load, r.note)
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
	r.note("step %d: back to the weights of step %d, learning rate halved", r.at.Step, before)
	return r.logEvent(line{BackTo: &before, Scale: g.scale()})
}

// checkWeights goes back to the last checkpoint if weights are not finite, before they are kept anywhere.
func (r *loop) checkWeights() error {
	for _, p := range r.parameters {
		for _, w := range p.Value.Data {
			if w-w != 0 {
				why := "the weights are no longer finite: " + p.Name
				r.note("step %d: %s", r.at.Step, why)
				if err := r.logEvent(line{Skipped: why}); err != nil {
					return err
				}
				return r.rollBack(why)
			}
		}
	}
	return nil
}
