// Package checkpoint keeps models, and priors over their codes, in files, with all that it takes to use them and to go on training them.
//
// A file is in the safetensors format, which Python reads too. Its tensors, all F32, or BF16 in an export of half the size, are the parameters and the state of the
// model by their names ("encoder.0.weight", "bottleneck.codebook"), then the state of training, "training." before its names
// ("training.adam.first.encoder.0.weight"). Its metadata are strings:
//
//	format       "vqaudio/1"
//	config       JSON of vqvae.Config
//	speakers     JSON list of names, in the order of the rows of "speakers.weight" and "speakers.timbre"
//	fingerprint  see [Fingerprint]
//	enrolled     JSON object of [speaker.Enrolment], by the names of speakers; not there if none was enrolled
//	training     JSON of whoever trains; not there if the file holds a model alone
//	crc32        checksum of the file (package internal/safetensors says of what)
//
// A file of a prior ([Prior]) is the same, but for its format, "vqaudio-prior/1", and its configuration, JSON of [prior.Config], which names the
// model by its fingerprint.
//
// A file is not trusted: what is read is checked against its checksum, its configuration and itself, and no more memory is
// taken than a few times its size.
package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/files"
	"github.com/vqaudio/vqaudio/internal/kernel"
	"github.com/vqaudio/vqaudio/internal/safetensors"
	"github.com/vqaudio/vqaudio/nn"
	"github.com/vqaudio/vqaudio/speaker"
	"github.com/vqaudio/vqaudio/tensor"
	"github.com/vqaudio/vqaudio/vqvae"
)

const (
	format         = "vqaudio/1"
	trainingPrefix = "training."
)

// The keys of the metadata.
const (
	formatKey      = "format"
	configKey      = "config"
	speakersKey    = "speakers"
	fingerprintKey = "fingerprint"
	enrolledKey    = "enrolled"
	trainingKey    = "training"
)

// File is what a file holds.
type File struct {
	Model *vqvae.Model

	Enrolled map[string]speaker.Enrolment // of those of its speakers that were enrolled

	// What the training of the model goes on from: JSON, which this package does not look into, and the tensors of the optimiser
	// and of averages, none of them empty. Training is nil in a file that holds a model alone; then there is no State.
	Training []byte
	State    nn.Parameters
}

// Fingerprint identifies a model by its parameters and its state, as units do that were made with it: 16 hexadecimal digits, the
// first of the SHA-256 of, for each tensor, its name, a zero byte, and its elements as they are in a file. The voices of the
// speakers, "speakers.weight" and "speakers.timbre", are left out: a model to which a voice is added speaks the same units.
func Fingerprint(m *vqvae.Model) string { return fingerprint(identity(m)) }

// fingerprint is that of tensors.
func fingerprint(ps nn.Parameters) string { return fingerprintOf(ps, nil) }

// fingerprintOf is fingerprint for tensors that are being read: it waits for the name of each among those that come, as far as any come.
func fingerprintOf(ps nn.Parameters, read <-chan string) string {
	sum, buffer, known := sha256.New(), make([]byte, 0, 1<<16), map[string]bool{}
	for _, p := range ps {
		for more := read != nil; more && !known[p.Name]; {
			var name string
			if name, more = <-read; more {
				known[name] = true
			}
		}
		sum.Write(append([]byte(p.Name), 0))
		for part := range slices.Chunk(p.Value.Data, cap(buffer)/4) {
			b := buffer
			for _, v := range part {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
			sum.Write(b)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// identity returns the tensors that tell a model from others.
func identity(m *vqvae.Model) nn.Parameters {
	return slices.DeleteFunc(tensors(m), func(p *nn.Parameter) bool { return p.Name == vqvae.VoicesName || p.Name == vqvae.TimbresName })
}

// tensors returns all tensors of a model.
func tensors(m *vqvae.Model) nn.Parameters { return append(m.Parameters(), m.State()...) }

// Save writes a file, whole or not at all. A model with an element that is NaN or infinite is not saved. It panics if there is
// State without Training.
func Save(name string, f *File) error { return saveAs(name, f, dilated.Float32) }

func saveAs(name string, f *File, precision dilated.Precision) error {
	values := map[string]any{configKey: f.Model.Config, speakersKey: f.Model.Speakers.Names()}
	if len(f.Enrolled) > 0 {
		values[enrolledKey] = f.Enrolled
	}
	return write(name, map[string]string{formatKey: format, fingerprintKey: Fingerprint(f.Model)}, values, tensors(f.Model), f.Training, f.State, precision)
}

// write writes a file of tensors, with values as JSON in its metadata. In BFloat16 no tensor has more than its 16 bits.
func write(name string, metadata map[string]string, values map[string]any, tensors nn.Parameters, training []byte, state nn.Parameters, precision dilated.Precision) error {
	if training == nil && len(state) > 0 {
		panic(fmt.Sprintf("checkpoint.Save: %d tensors of State, and no Training", len(state)))
	}
	for key, value := range values {
		b, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, key, err)
		}
		metadata[key] = string(b)
	}
	var list []safetensors.Tensor
	for _, p := range tensors {
		if i := slices.IndexFunc(p.Value.Data, notFinite); i >= 0 {
			return fmt.Errorf("%s is not written: tensor %q holds %v as element %d of %v", name, p.Name, p.Value.Data[i], i, p.Value)
		}
		t := safetensors.Tensor{Name: p.Name, Shape: p.Value.Shape(), Data: p.Value.Data}
		if precision == dilated.BFloat16 {
			t.Data = bits(p)
		}
		list = append(list, t)
	}
	if training != nil {
		metadata[trainingKey] = string(training)
	}
	for _, p := range state {
		list = append(list, safetensors.Tensor{Name: trainingPrefix + p.Name, Shape: p.Value.Shape(), Data: p.Value.Data})
	}
	return safetensors.Write(name, metadata, list)
}

// Export writes the model of f alone: what it takes to use it, not what it takes to train on. In BFloat16 the file is half as long,
// and all numbers of f.Model are rounded first: then it is another model, with another fingerprint.
func Export(name string, f *File, precision dilated.Precision) error {
	round(tensors(f.Model), precision)
	return saveAs(name, &File{Model: f.Model, Enrolled: f.Enrolled}, precision)
}

// round rounds tensors to the numbers of a precision.
func round(ps nn.Parameters, precision dilated.Precision) {
	if precision == dilated.Float32 {
		return
	}
	for _, p := range ps {
		kernel.FromBF16(p.Value.Data, bits(p))
	}
}

// bits returns the elements of a tensor, rounded to bfloat16.
func bits(p *nn.Parameter) []uint16 {
	b := make([]uint16, p.Value.Len())
	kernel.ToBF16(b, p.Value.Data)
	return b
}

func notFinite(v float32) bool { return v-v != 0 }

// Load reads a file. The model computes in the precision given. A file that is damaged or not one of this package is a
// [*files.FormatError], one of a later version a [*files.UnsupportedError].
func Load(name string, precision dilated.Precision) (*File, error) {
	st, err := safetensors.Open(name)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	return load(st, name, precision)
}

// Read is [Load] for a file in memory, which errors call name.
func Read(data []byte, name string, precision dilated.Precision) (*File, error) {
	st, err := safetensors.New(bytes.NewReader(data), int64(len(data)), name)
	if err != nil {
		return nil, err
	}
	return load(st, name, precision)
}

func load(st *safetensors.File, name string, precision dilated.Precision) (*File, error) {
	r := reader{st, name}
	if err := r.checkFormat(format, "a model of vqaudio"); err != nil {
		return nil, err
	}
	m, err := r.model(precision)
	if err != nil {
		return nil, err
	}
	if r.hasTimbres(m) {
		m.AddTimbres()
	}
	f := &File{Model: m}
	if _, ok := st.Metadata[enrolledKey]; ok {
		if err := r.decode(enrolledKey, &f.Enrolled); err != nil {
			return nil, err
		}
		for name := range f.Enrolled {
			if !m.Speakers.Has(name) {
				return nil, r.wrong(fmt.Sprintf("%s: speaker %q", enrolledKey, name), "one of the model")
			}
		}
	}
	f.Training = r.training()
	if f.State, err = r.fill(tensors(m), identity(m), f.Training != nil); err != nil {
		return nil, err
	}
	if err := m.CheckTimbres(); err != nil {
		return nil, r.wrong(vqvae.TimbresName+": "+err.Error(), "deviations above 0 and levels of sound, or nothing but zeros")
	}
	return f, nil
}

// reader reads a file.
type reader struct {
	*safetensors.File
	name string
}

// headerOffset is where the header of a file begins, the place of errors that are about its metadata.
const headerOffset = 8

// wrong returns an error of a reasonable length, however long the strings in the file are.
func (r *reader) wrong(found, expected string) error {
	return &files.FormatError{File: r.name, Offset: headerOffset, Found: fmt.Sprintf("%.200s", found), Expected: expected}
}

// checkFormat checks that the file is undamaged, and of this version of a format: "NAME/VERSION", which is what.
func (r *reader) checkFormat(format, what string) error {
	version, ok := r.Metadata[formatKey]
	if !ok || !strings.HasPrefix(version, format[:strings.Index(format, "/")+1]) {
		return r.wrong(fmt.Sprintf("metadata %s %q", formatKey, version), fmt.Sprintf("%q: %s", format, what))
	}
	if err := r.Verify(); err != nil {
		return err
	}
	if version != format {
		return &files.UnsupportedError{File: r.name, Offset: headerOffset, What: fmt.Sprintf("format %.40q", version)}
	}
	return nil
}

// checkFingerprint compares that of the tensors with that in the file.
func (r *reader) checkFingerprint(got string) error {
	if want := r.Metadata[fingerprintKey]; got != want {
		return r.wrong(fmt.Sprintf("%s %q", fingerprintKey, want), fmt.Sprintf("%q, that of the tensors", got))
	}
	return nil
}

// training returns the JSON of whoever trains; nil if there is none.
func (r *reader) training() []byte {
	if training, ok := r.Metadata[trainingKey]; ok {
		return []byte(training)
	}
	return nil
}

// checkElements checks that the tensors of the file hold at least as many elements as the configuration says.
func (r *reader) checkElements(want int64) error {
	var elements int64
	for _, t := range r.Tensors {
		elements += int64(t.Len())
	}
	if elements < want {
		return r.wrong(fmt.Sprintf("tensors of %d elements in all", elements), fmt.Sprintf("the %d of the model that %s describes", want, configKey))
	}
	return nil
}

// model makes the model of the configuration, if the file is large enough to hold it. Its weights are not yet those of the
// file.
func (r *reader) model(precision dilated.Precision) (*vqvae.Model, error) {
	var config vqvae.Config
	if err := r.decode(configKey, &config); err != nil {
		return nil, err
	}
	var speakers []string
	if err := r.decode(speakersKey, &speakers); err != nil {
		return nil, err
	}
	if err := config.Check(); err != nil {
		return nil, r.wrong(configKey+": "+err.Error(), "a model that can be")
	}
	if err := r.checkElements(config.Elements(len(speakers))); err != nil {
		return nil, err
	}
	m, err := vqvae.New(config, speakers, precision, nil)
	if err != nil {
		return nil, r.wrong(err.Error(), "a model that can be")
	}
	return m, nil
}

// hasTimbres reports whether the file holds timbres of the model's shape: those of other shapes are none of its tensors.
func (r *reader) hasTimbres(m *vqvae.Model) bool {
	return slices.ContainsFunc(r.Tensors, func(t safetensors.Info) bool {
		return t.Name == vqvae.TimbresName && slices.Equal(t.Shape, []int{m.Speakers.Len(), m.Config.Encoder.TimbreLen()})
	})
}

// decode decodes JSON in the metadata. Unknown keys are errors.
func (r *reader) decode(key string, v any) error {
	text, ok := r.Metadata[key]
	if !ok {
		return r.wrong("no metadata "+key, "JSON")
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return r.wrong(key+": "+err.Error(), "JSON of this version")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r.wrong(key+": more text behind the JSON", "its end")
	}
	return nil
}

// fill reads the tensors, which must all be there and have the file's fingerprint, that of those in identity, and returns those of training, of which
// there must be none unless there is its JSON. The fingerprint, which takes as long as the reading, is made beside it.
func (r *reader) fill(tensors, identity nn.Parameters, trained bool) (state nn.Parameters, err error) {
	read, print := make(chan string, len(r.Tensors)), make(chan string, 1)
	go func() { print <- fingerprintOf(identity, read) }()
	state, err = r.read(tensors, trained, read)
	close(read)
	got := <-print
	if err == nil {
		err = r.checkFingerprint(got)
	}
	return state, err
}

// read reads the tensors, and tells the name of each.
func (r *reader) read(tensors nn.Parameters, trained bool, done chan<- string) (state nn.Parameters, err error) {
	missing := map[string]*nn.Parameter{}
	for _, p := range tensors {
		missing[p.Name] = p
	}
	for _, t := range r.Tensors {
		if t.DType != safetensors.F32 && t.DType != safetensors.BF16 {
			return nil, r.wrong(fmt.Sprintf("tensor %q of %v", t.Name, t), "F32 or BF16")
		}
		p := missing[t.Name]
		switch name, training := strings.CutPrefix(t.Name, trainingPrefix); {
		case p != nil:
			delete(missing, t.Name)
			if !slices.Equal(t.Shape, p.Value.Shape()) {
				return nil, r.wrong(fmt.Sprintf("tensor %q of shape %v", t.Name, t.Shape), fmt.Sprintf("shape %v, as %s says", p.Value, configKey))
			}
		case !training || !trained:
			return nil, r.wrong(fmt.Sprintf("tensor %q of shape %v", t.Name, t.Shape), "none of that name")
		case len(t.Shape) > tensor.MaxRank:
			return nil, r.wrong(fmt.Sprintf("tensor %q of shape %v", t.Name, t.Shape), fmt.Sprintf("at most %d dimensions", tensor.MaxRank))
		case t.Len() == 0: // its other sizes may be beyond all bounds
			return nil, r.wrong(fmt.Sprintf("tensor %q of shape %v", t.Name, t.Shape), "elements")
		default:
			p = &nn.Parameter{Name: name, Value: tensor.New(t.Shape...)}
			state = append(state, p)
		}
		if err := r.Read(t, p.Value.Data); err != nil {
			return nil, err
		}
		done <- t.Name
	}
	for _, p := range tensors {
		if missing[p.Name] != nil {
			return nil, r.wrong(fmt.Sprintf("no tensor %q", p.Name), fmt.Sprintf("one of shape %v", p.Value))
		}
		if i := slices.IndexFunc(p.Value.Data, notFinite); i >= 0 {
			return nil, r.wrong(fmt.Sprintf("%v in tensor %q, element %d of %v", p.Value.Data[i], p.Name, i, p.Value), "a finite number")
		}
	}
	return state, nil
}
