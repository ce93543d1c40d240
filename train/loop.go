package train

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
)

// loop is a training that goes on, whatever is trained: that, and what it is trained on, is the task.
type loop struct {
	task       task
	course     Course
	decay      float64        // of weights, decoupled
	tell       func(Progress) // after every step; may be nil
	notes      func(string)   // may be nil
	folder     *folder
	arena      tensor.Arena
	random     *rand.ChaCha8 // seeded anew for each use: see draw
	schedule   nn.Schedule
	log        *log
	saved      int       // step of the last checkpoint, -1 if there is none
	savedLines int       // of the metrics that it knows
	began      time.Time // of this start

	// What a checkpoint holds.
	parameters nn.Parameters
	adam       *nn.Adam
	average    *nn.Average // nil without
	at         *counters   // of the state of the task
}

// task is what differs between trainings: of a model (type run), of a prior (type priorRun).
type task interface {
	network() (parameters, state nn.Parameters) // of what is trained

	compute() (loss float64)     // takes the next batch forwards and backwards; gradients are zero before
	size() int                   // samples, or codes, of that batch
	update(norm float64)         // takes the batch into state and averages, after the optimiser's step
	watch() error                // looks after every step whether all is well
	logTraining(r float64) error // writes what the steps since the last time were like; r is the rate of learning
	progress(p *Progress)        // adds what the task knows

	validate(ctx context.Context) error // measures, notes and logs, and saves the best
	validated() int                     // the last step that was validated

	// Checkpoints: tensors beside the network, those of the optimiser and the average; the state as JSON, of which the counters of the loop are a part.
	tensors() nn.Parameters
	history() ([]byte, error)
	resume(history []byte) error
	load(name string) (*stored, error)
	store(name string, training []byte, state nn.Parameters) error

	initialise() error       // before the first step
	averaged() nn.Parameters // what is averaged
}

// stored is what a checkpoint holds.
type stored struct {
	network  nn.Parameters // parameters and state
	speakers []string
	training []byte
	state    nn.Parameters
}

// counters are where a training stands.
type counters struct {
	Step    int     `json:"step"`
	Samples int64   `json:"samples"` // or codes
	Seconds float64 `json:"seconds"` // spent before this start; in a checkpoint, until it
	Lines   int     `json:"lines"`   // of the metrics
	Guard   guard   `json:"guard"`
}

// newLoop returns a loop that begins now.
func newLoop(c Course, f *folder, tell func(Progress), notes func(string)) loop {
	return loop{course: c, tell: tell, notes: notes, folder: f, random: rand.NewChaCha8([32]byte{}), schedule: c.schedule(), saved: -1, began: time.Now()}
}

// train runs the loop, and returns where the training then stands.
func (r *loop) train(ctx context.Context) (Progress, error) {
	err := r.run(ctx)
	if err != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("step %d: %w; the last checkpoint is that of step %d", r.at.Step, err, r.saved)
	}
	return r.reached(math.NaN()), err
}

// run trains until the budget is spent. While steps are skipped there is neither validation nor checkpoint: the weights may
// be the reason.
func (r *loop) run(ctx context.Context) error {
	s := r.course
	for {
		step, good := r.at.Step, r.at.Guard.Bad == 0
		validate, save := s.ValidateEvery > 0 && step%s.ValidateEvery == 0 && r.task.validated() < step, step%s.SaveEvery == 0
		if good && (validate || save) {
			if err := r.checkWeights(); err != nil {
				return err
			}
		}
		if good && validate {
			if err := r.task.validate(ctx); err != nil {
				return r.stop(ctx, err)
			}
		}
		if save {
			if err := r.save(); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return r.stop(ctx, ctx.Err())
		}
		if s.Steps > 0 && step >= s.Steps || s.Minutes > 0 && r.seconds() >= 60*s.Minutes {
			break
		}
		if err := r.step(); err != nil {
			return err
		}
	}
	if r.at.Guard.Bad == 0 && r.task.validated() < r.at.Step {
		if err := r.task.validate(ctx); err != nil {
			return r.stop(ctx, err)
		}
	}
	return r.save()
}

// stop saves if err comes from the cancelling of ctx, and returns it.
func (r *loop) stop(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if failed := r.save(); failed != nil {
			return failed
		}
	}
	return err
}

// step trains on the next batch.
func (r *loop) step() error {
	defer r.arena.Reset()
	r.parameters.ZeroGrad()
	loss := r.task.compute()
	norm := nn.ClipGlobalNorm(r.parameters, r.course.Clip)
	rate := r.schedule(r.at.Step) * r.at.Guard.scale()
	r.at.Step++
	r.at.Samples += int64(r.task.size())

	why := r.at.Guard.check(loss, norm)
	if why == "" {
		r.adam.Step(rate)
		r.task.update(norm)
	} else {
		loss = math.NaN()
		if err := r.survive(why); err != nil {
			return err
		}
	}
	if err := r.task.watch(); err != nil {
		return err
	}
	if r.at.Step%r.course.LogEvery == 0 {
		if err := r.task.logTraining(rate); err != nil {
			return err
		}
	}
	if r.tell != nil {
		r.tell(r.reached(loss))
	}
	return nil
}

// draw returns the source of random numbers for a purpose in the present step. It depends on the seed, the step and the
// purpose alone: so a checkpoint need hold no generator. The next call ends it.
func (r *loop) draw(purpose string) rand.Source {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], r.course.Seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(r.at.Step))
	copy(key[16:], purpose)
	r.random.Seed(key)
	return r.random
}

// seconds is the time spent, over all starts.
func (r *loop) seconds() float64 { return r.at.Seconds + time.Since(r.began).Seconds() }

// reached is where the training stands, after a step of this loss.
func (r *loop) reached(loss float64) Progress {
	p := Progress{Step: r.at.Step, Loss: loss, Samples: r.at.Samples, Seconds: r.seconds(), Saved: r.saved}
	r.task.progress(&p)
	return p
}

func (r *loop) note(format string, args ...any) {
	if r.notes != nil {
		r.notes(fmt.Sprintf(format, args...))
	}
}
