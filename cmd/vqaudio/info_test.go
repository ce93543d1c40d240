package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/vqaudio/vqaudio/checkpoint"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/train"
	"github.com/vqaudio/vqaudio/vqvae"
	"github.com/vqaudio/vqaudio/wavenet"
)

// runOne runs a command, with its flags before its arguments, and returns what it prints.
func runOne(command *cli.Command, args ...string) (stdout string, err error) {
	var out bytes.Buffer
	app := &cli.App{Commands: []*cli.Command{command}, Writer: &out, ErrWriter: &out, ExitErrHandler: func(*cli.Context, error) {}}
	err = app.Run(append([]string{"vqaudio", command.Name}, args...))
	return out.String(), err
}

// saveInfoModel saves a model of the preset tiny in a folder, and returns the name of the file.
func saveInfoModel(t *testing.T, dir string, training string, speakers ...string) string {
	t.Helper()
	c, err := train.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	if len(speakers) == 0 {
		c.Model.Decoder.Speaker = 0
	}
	m, err := vqvae.New(c.Model, speakers, dilated.Float32, rand.NewPCG(1, 2))
	if err != nil {
		t.Fatal(err)
	}
	f := &checkpoint.File{Model: m}
	if training != "" {
		f.Training, f.State = []byte(training), nn.NewAdam(m.Parameters()).State()
	}
	name := filepath.Join(dir, "best.safetensors")
	if err := checkpoint.Save(name, f); err != nil {
		t.Fatal(err)
	}
	return name
}

// trainingJSON is the state of a training with so many validations, the last but one of them the best.
func trainingJSON(t *testing.T, validations int) string {
	t.Helper()
	r := trainingRecord{Step: 10*validations + 3, Samples: 2_500_000, Seconds: 90}
	r.Training.Batch, r.Training.Segment, r.Training.Precision, r.Training.LearningRate, r.Training.Seed = 4, 8192, "bfloat16", 4e-4, 7
	for i := range validations {
		v := train.Validation{Step: 10 * (i + 1)}
		v.True, v.Shuffled, v.Constant, v.WrongSpeaker, v.Perplexity, v.Used = 3-float64(i)/100, 4, 5, 3.5, 200.25, 400+i
		r.Validations = append(r.Validations, v)
		if i == validations-2 {
			r.Best = &v
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInfo(t *testing.T) {
	dir := t.TempDir()
	name := saveInfoModel(t, dir, trainingJSON(t, 40), "p1", "p2", "p3", "p4", "p5", "p6", "p\t7")
	c, err := train.Preset("tiny")
	if err != nil {
		t.Fatal(err)
	}
	hop := c.Model.Hop()
	text, err := runOne(infoCommand(), dir) // a run
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		name + ", fingerprint ", fmt.Sprintf("%d Hz, %d mu-law levels", c.Model.Rate, c.Model.Levels),
		fmt.Sprintf("one for %d samples: ", hop), "trained by moving average",
		"speakers    7, ", "p1, p2, p3, p4, p5, and 2 more (--speakers lists them)",
		"training    403 steps, 2.5 million samples, 1.5 minutes, in bfloat16", "batches of 4 x 8192 samples, learning rate 0.0004, seed 7",
		"         10        0.3   3.0000    4.0000    5.0000   3.5000       200.2    400\n",
		"        400       13.1   2.6100",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, " 200.2 "); n != mostValidations {
		t.Errorf("%d validations, want %d:\n%s", n, mostValidations, text)
	}
	all, err := runOne(infoCommand(), "--speakers", name)
	if err != nil || !strings.Contains(all, `p1 p2 p3 p4 p5 p6 "p\t7"`) {
		t.Errorf("%v\n%s", err, all)
	}
}

// TestInfoMarksTheBest checks the mark, which only a validation that is printed can carry.
func TestInfoMarksTheBest(t *testing.T) {
	text, err := runOne(infoCommand(), saveInfoModel(t, t.TempDir(), trainingJSON(t, 3), "a"))
	if err != nil || !strings.Contains(text, "\n *       20 ") || strings.Count(text, "\n * ") != 1 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestInfoJSON(t *testing.T) {
	name := saveInfoModel(t, t.TempDir(), trainingJSON(t, 40), "a", "b")
	text, err := runOne(infoCommand(), "--json", name)
	if err != nil {
		t.Fatal(err)
	}
	var info modelInfo
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&info); err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	c := f.Model.Config
	sum := 0
	for _, p := range info.Parameters {
		sum += p.Count
	}
	want := f.Model.Parameters().Count() + f.Model.Quantiser.Books[0].Entries.Value.Len() // tiny trains it by average
	if info.ParameterCount != want || sum != want {
		t.Errorf("%d parameters, %d in parts, want %d", info.ParameterCount, sum, want)
	}
	if info.Fingerprint != checkpoint.Fingerprint(f.Model) || info.File != name || strings.Join(info.Speakers, " ") != "a b" {
		t.Errorf("fingerprint %s of %s, speakers %q", info.Fingerprint, info.File, info.Speakers)
	}
	if len(info.Training.Validations) != 40 || info.Training.Best.Step != 390 || info.Training.Samples != 2_500_000 {
		t.Errorf("training %+v", info.Training)
	}
	if info.Hop != c.Hop() || info.CodeRate != float64(c.Rate)/float64(info.Hop) {
		t.Errorf("hop %d, %v codes a second", info.Hop, info.CodeRate)
	}
}

// TestReceptiveFields compares what info says with what changes when a sample does.
func TestReceptiveFields(t *testing.T) {
	name := saveInfoModel(t, t.TempDir(), "", "a")
	f, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	info, err := describeModel(f, name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Training != nil {
		t.Errorf("training %v of a model alone", info.Training)
	}
	a, m, r := new(tensor.Arena), f.Model, rand.New(rand.NewPCG(1, 2))
	hop := m.Config.Hop()
	frames := 2*max(info.Encoder.Samples, info.Decoder.Samples)/hop + 4
	input := tensor.New(1, frames*hop, 1)
	for i := range input.Data {
		input.Data[i] = 2*r.Float32() - 1
	}
	z := slices.Clone(m.Encode(a, input).Row(frames / 2))
	samples := 0
	for i := range input.Data {
		input.Data[i]++
		if !slices.Equal(m.Encode(a, input).Row(frames/2), z) {
			samples++
		}
		input.Data[i]--
		a.Reset()
	}
	if samples != info.Encoder.Samples {
		t.Errorf("a code depends on %d samples, info says %d", samples, info.Encoder.Samples)
	}

	levels := make([]int32, frames*hop)
	for i := range levels {
		levels[i] = int32(r.IntN(m.Config.Levels))
	}
	in := wavenet.Input{Steps: levels, Batch: 1, Local: tensor.New(1, frames, m.Config.Bottleneck.Dim), Global: tensor.New(1, m.Config.Decoder.Speaker)}
	before := m.Decoder.Logits(a, in)
	levels[0] ^= int32(m.Config.Levels / 2)
	after := m.Decoder.Logits(a, in)
	last := 0
	for i := range levels {
		if !slices.Equal(before.Row(i), after.Row(i)) {
			last = i
		}
	}
	if last != info.Decoder.Samples {
		t.Errorf("the first sample has a share in the %d after it, info says %d", last, info.Decoder.Samples)
	}
}

func TestInfoAlone(t *testing.T) {
	text, err := runOne(infoCommand(), saveInfoModel(t, t.TempDir(), ""))
	if err != nil || !strings.Contains(text, "training    not in this file") || !strings.Contains(text, "speakers    none: one voice for all") {
		t.Errorf("%v\n%s", err, text)
	}
	text, err = runOne(infoCommand(), saveInfoModel(t, t.TempDir(), `{"step": 1}`))
	if err != nil || !strings.Contains(text, "training    1 step, ") || !strings.Contains(text, "no validation yet") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestInfoRefuses(t *testing.T) {
	dir := t.TempDir()
	var usage *usageError
	for _, args := range [][]string{{"a", "b"}, {dir}} {
		if _, err := runOne(infoCommand(), args...); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, err := runOne(infoCommand(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	var format *files.FormatError
	if _, err := runOne(infoCommand(), saveInfoModel(t, dir, `{"step": "x"}`, "a")); !errors.As(err, &format) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "best.safetensors"), []byte("RIFF"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := runOne(infoCommand(), dir); !errors.As(err, &format) {
		t.Error(err)
	}
}

func TestExport(t *testing.T) {
	dir := t.TempDir()
	name := saveInfoModel(t, dir, trainingJSON(t, 3), "a", "b")
	out := filepath.Join(dir, "model.safetensors")
	text, err := runOne(exportCommand(), "-o", out, dir)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := checkpoint.Load(name, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Load(out, dilated.Float32)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := checkpoint.Fingerprint(whole.Model)
	if f.Training != nil || f.State != nil || checkpoint.Fingerprint(f.Model) != fingerprint {
		t.Errorf("training %q, %d tensors of it", f.Training, len(f.State))
	}
	if !strings.HasPrefix(text, out+": ") || !strings.HasSuffix(text, "fingerprint "+fingerprint+"\n") {
		t.Errorf("prints %q", text)
	}
	link := filepath.Join(dir, "link.safetensors")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	var usage *usageError
	for _, args := range [][]string{{name}, {"-o", dir, name}, {"-o", "-", name}, {"-o", name, dir}, {"-o", link, name}, {"-o", out, name, name}} {
		if _, err := runOne(exportCommand(), args...); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if f, err := checkpoint.Load(name, dilated.Float32); err != nil || f.Training == nil {
		t.Errorf("the model that was exported is no longer what it was: %v", err)
	}
	if _, err := runOne(exportCommand(), "-o", filepath.Join(dir, "none", "x"), name); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
