package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/nn"
)

// The folder of a run:
//
//	config.json                            the configuration, and which corpus
//	metrics.jsonl                          see metricsName
//	events.out.tfevents...                 the same for TensorBoard, a file for each start
//	checkpoints/step-00001000.safetensors  all that it takes to go on; the last ones
//	best.safetensors                       the model of the best validation, with averaged weights if there are any
//	samples/                               what becomes of some utterances, or pictures, of the validation split; not of a prior
//	codes.safetensors                      of a prior: the codes of the corpus (package codes)
//	lock                                   locked while a program trains
const (
	ConfigName      = "config.json"
	checkpointsName = "checkpoints"
	samplesName     = "samples"
	lockName        = "lock"
)

// BestName is the name of the best model in the folder of a run.
const BestName = "best.safetensors"

// ErrBusy is the error of [Run] for a folder in which another program is just training.
var ErrBusy = errors.New("another program is training in this folder")

// ConfigError is the error of [Run] for a folder that holds a run of another configuration.
type ConfigError struct {
	Dir         string
	Differences []string // "training.batch 4, now 8"
}

// Error names the folder and lists the differences.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("%s holds a run of another configuration: %s. Go on with its own, or start in another folder", e.Dir, strings.Join(e.Differences, "; "))
}

// CorpusError is the error of [Run] for a corpus that is not the one the run began with.
type CorpusError struct {
	Dir     string
	Missing []string // speakers of the model that the corpus lacks
	Unknown []string // speakers of the corpus that the model does not know
}

// Error says which speakers differ.
func (e *CorpusError) Error() string {
	s := e.Dir + " holds a run that began with another corpus"
	list := func(what string, names []string) {
		const most = 5
		if len(names) > 0 {
			s += fmt.Sprintf("; %s: %s", what, strings.Join(names[:min(most, len(names))], ", "))
			if len(names) > most {
				s += fmt.Sprintf(" and %d more", len(names)-most)
			}
		}
	}
	list("its speakers that this one lacks", e.Missing)
	list("speakers that it lacks", e.Unknown)
	return s + ". Go on with that one, or start in another folder"
}

// configFile is what config.json holds: the configuration, and which corpus.
type configFile interface {
	parts() (config any, corpus corpusConfig)
}

// runConfig is that of the training of a model.
type runConfig struct {
	Config
	Corpus corpusConfig `json:"corpus"`
}

func (c runConfig) parts() (any, corpusConfig) { return c.Config, c.Corpus }

// corpusConfig tells a corpus from others, and somebody who reads it what it was.
type corpusConfig struct {
	Checksum   string `json:"checksum"` // as [corpora.SamplerState] has it
	Utterances int    `json:"utterances,omitempty"`
	Samples    int64  `json:"samples,omitempty"`
	Speakers   int    `json:"speakers,omitempty"`
	Pictures   int    `json:"pictures,omitempty"` // for training and validation
}

// folder is that of a run, locked.
type folder struct {
	dir  string
	lock *flock.Flock
}

// openFolder makes and locks the folder. It must be empty or hold a run.
func openFolder(dir string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, ConfigName)); errors.Is(err, fs.ErrNotExist) {
		for _, e := range entries {
			if e.Name() != lockName && !temporary.MatchString(e.Name()) {
				return nil, fmt.Errorf("%s is neither empty nor the folder of a run: it holds %s, and no %s", dir, e.Name(), ConfigName)
			}
		}
	} else if err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, lockName))
	if locked, err := lock.TryLock(); err != nil {
		return nil, err
	} else if !locked {
		return nil, fmt.Errorf("%s: %w", dir, ErrBusy)
	}
	f := &folder{dir, lock}
	if err := f.tidy(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *folder) close() { f.lock.Unlock() }

// temporary are the names of files that files.Create begins.
var temporary = regexp.MustCompile(`^\..*[0-9]+\.tmp$`)

// tidy removes files that were begun by a program that was killed.
func (f *folder) tidy() error {
	for _, sub := range []string{"", checkpointsName, samplesName} {
		dir := filepath.Join(f.dir, sub)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		for _, e := range entries {
			if temporary.MatchString(e.Name()) {
				if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ReadConfig returns the configuration of the run in the folder dir. If there is none, the error is fs.ErrNotExist.
func ReadConfig(dir string) (Config, error) {
	c, err := readConfig[runConfig](dir)
	return c.Config, err
}

func readConfig[C configFile](dir string) (c C, err error) {
	name := filepath.Join(dir, ConfigName)
	data, err := os.ReadFile(name)
	if err != nil {
		return c, err
	}
	if err := strict(data, &c); err != nil {
		return c, &files.FormatError{File: name, Offset: -1, Found: err.Error(), Expected: "the configuration of a run"}
	}
	return c, nil
}

// resolve puts what "auto" stands for in its place: what the run has begun with, or else what is best on this machine.
func (f *folder) resolve(s *Course) error {
	if s.Precision != "auto" {
		return nil
	}
	var was struct{ Training struct{ Precision string } }
	name := filepath.Join(f.dir, ConfigName)
	data, err := os.ReadFile(name)
	if err == nil {
		if err := json.Unmarshal(data, &was); err != nil {
			return &files.FormatError{File: name, Offset: -1, Found: err.Error(), Expected: "the configuration of a run"}
		}
		s.Precision = was.Training.Precision
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p, err := s.precision()
	s.Precision = "float32"
	if p == dilated.BFloat16 {
		s.Precision = "bfloat16"
	}
	return err
}

// writeConfig writes the configuration, unless it is there, and makes the folder of checkpoints.
func (f *folder) writeConfig(c configFile) error {
	name := filepath.Join(f.dir, ConfigName)
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if was, err := os.ReadFile(name); err != nil || !bytes.Equal(was, data) {
		if err := files.Write(name, data); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(f.dir, checkpointsName), 0o777)
}

var checkpointName = regexp.MustCompile(`^step-([0-9]{8,15})\.safetensors$`)

func (f *folder) checkpoint(step int) string {
	return filepath.Join(f.dir, checkpointsName, fmt.Sprintf("step-%08d.safetensors", step))
}

// steps returns those of the checkpoints, ascending.
func (f *folder) steps() ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, checkpointsName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if m := checkpointName.FindStringSubmatch(e.Name()); m != nil {
			step, _ := strconv.Atoi(m[1])
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// load reads the last checkpoint up to a step whose own step is a multiple of every. One that is damaged is reported to note,
// and the one before it is taken. If there are none, it returns nil; if all are damaged, the error of the last one.
func (f *folder) load(upTo, every int, open func(name string) (*stored, error), note func(string, ...any)) (*stored, int, error) {
	steps, err := f.steps()
	if err != nil {
		return nil, 0, err
	}
	var damaged error
	for _, step := range slices.Backward(steps) {
		if step > upTo || step%every != 0 {
			continue
		}
		file, err := open(f.checkpoint(step))
		if err == nil && file.training == nil {
			err = fmt.Errorf("%s has no state of training", f.checkpoint(step))
		}
		if err == nil {
			return file, step, nil
		}
		note("a checkpoint is damaged: %v", err)
		if damaged == nil {
			damaged = err
		}
	}
	if damaged != nil {
		damaged = fmt.Errorf("no checkpoint in %s can be read: %w", f.dir, damaged)
	}
	return nil, 0, damaged
}

// prune removes old checkpoints: it leaves the last keep regular ones up to a step, and that of the step itself.
func (f *folder) prune(step, every, keep int) error {
	steps, err := f.steps()
	if err != nil {
		return err
	}
	regular := 0
	for _, s := range slices.Backward(steps) {
		if s > step {
			continue // it was damaged, or else the training had gone on from it; it will be written again
		}
		if s%every == 0 {
			regular++
		}
		if s != step && (s%every != 0 || regular > keep) {
			if err := os.Remove(f.checkpoint(s)); err != nil {
				return err
			}
		}
	}
	return nil
}

// beginLoop makes the network ready, new or from the last checkpoint of a run with the same configuration and corpus, now. Check returns the
// error that validation would begin with.
func beginLoop[C configFile](r *loop, now C, speakers []string, check func() error) error {
	r.parameters, _ = r.task.network()
	r.adam = nn.NewAdamW(r.parameters, r.decay)
	file, step, err := r.folder.load(math.MaxInt, 1, r.task.load, r.note)
	if err != nil {
		return err
	}
	if was, err := readConfig[C](r.folder.dir); err == nil { // is it this run?
		config, corpus := was.parts()
		nowConfig, nowCorpus := now.parts()
		if list := differences(config, nowConfig); len(list) > 0 {
			return &ConfigError{r.folder.dir, list}
		}
		if corpus != nowCorpus || file != nil && !slices.Equal(file.speakers, speakers) {
			return r.otherCorpus(file, speakers)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := check(); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	if err := r.folder.writeConfig(now); err != nil {
		return err
	}
	if file == nil {
		return r.beginNew()
	}
	return r.goOn(file, step)
}

// otherCorpus says how the corpus differs from that of the run.
func (r *loop) otherCorpus(file *stored, now []string) error {
	e := &CorpusError{Dir: r.folder.dir}
	if file != nil {
		was := file.speakers
		for _, name := range was {
			if !slices.Contains(now, name) {
				e.Missing = append(e.Missing, name)
			}
		}
		for _, name := range now {
			if !slices.Contains(was, name) {
				e.Unknown = append(e.Unknown, name)
			}
		}
	}
	return e
}

// beginNew begins at step 0.
func (r *loop) beginNew() error {
	name := filepath.Join(r.folder.dir, metricsName)
	if info, err := os.Stat(name); err == nil && info.Size() > 0 {
		return fmt.Errorf("%s has %s, but no checkpoint to go on from: put one back, or start in another folder", r.folder.dir, name)
	}
	if err := r.task.initialise(); err != nil {
		return err
	}
	r.makeAverage()
	var err error
	if r.log, err = openLog(r.folder.dir, 0, 0); err != nil {
		return err
	}
	if err := r.save(); err != nil {
		r.log.close()
		return err
	}
	return nil
}

// makeAverage begins the average of weights, if there is to be one.
func (r *loop) makeAverage() {
	if r.course.Average > 0 {
		r.average = nn.NewAverage(r.task.averaged(), r.course.Average)
	}
}

// goOn goes on from the checkpoint of a step.
func (r *loop) goOn(file *stored, step int) error {
	r.makeAverage()
	if err := r.restore(file); err != nil {
		return err
	}
	if err := r.task.resume(file.training); err != nil {
		return fmt.Errorf("%s: the state of training: %w", r.folder.checkpoint(step), err)
	}
	if r.at.Step != step {
		return fmt.Errorf("%s is a checkpoint of step %d", r.folder.checkpoint(step), r.at.Step)
	}
	r.saved, r.savedLines = r.at.Step, r.at.Lines
	r.note("going on from step %d", r.at.Step)
	var err error
	r.log, err = openLog(r.folder.dir, r.at.Lines, r.at.Step)
	return err
}

// beside returns all that a checkpoint holds besides the network.
func (r *loop) beside() nn.Parameters {
	ps := r.adam.State()
	if r.average != nil {
		ps = append(ps, r.average.State()...)
	}
	return append(ps, r.task.tensors()...)
}

// restore takes the tensors of a checkpoint.
func (r *loop) restore(file *stored) error {
	_, state := r.task.network()
	for _, pair := range [][2]nn.Parameters{{r.parameters, file.network}, {state, file.network}, {r.beside(), file.state}} {
		for _, p := range pair[0] {
			from := pair[1].Find(p.Name)
			if from == nil || !from.Value.SameShape(p.Value) {
				return fmt.Errorf("a checkpoint of %s has no tensor %s of shape %v", r.folder.dir, p.Name, p.Value)
			}
			copy(p.Value.Data, from.Value.Data)
		}
	}
	return nil
}

// save writes a checkpoint, unless it is there or steps are being skipped, and removes those that are no longer kept.
func (r *loop) save() error {
	step := r.at.Step
	if r.saved == step && r.savedLines == r.at.Lines || r.at.Guard.Bad > 0 {
		return nil
	}
	training, err := r.task.history()
	if err != nil {
		return err
	}
	if err := r.log.sync(); err != nil {
		return err
	}
	if err := r.task.store(r.folder.checkpoint(step), training, r.beside()); err != nil {
		return err
	}
	r.saved, r.savedLines = step, r.at.Lines
	return r.folder.prune(step, r.course.SaveEvery, r.course.Keep)
}

// saveBest writes the network as it is: within validate, with averaged weights.
func (r *loop) saveBest() error {
	training, err := r.task.history()
	if err != nil {
		return err
	}
	return r.task.store(filepath.Join(r.folder.dir, BestName), training, nil)
}
