package train

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// eventFile is a file for TensorBoard: records of protocol buffers (tensorflow/core/util/event.proto and
// tensorflow/core/framework/summary.proto), each framed by lengths and checksums
// (tensorflow/core/lib/io/record_writer.h). There is one for each start of a training. It says from which step on what
// earlier ones hold is void.
type eventFile struct {
	file *os.File
	w    *bufio.Writer // keeps the first error until flush
}

// createEvents begins a file for the events of a step and those after it.
func createEvents(dir string, step int) (*eventFile, error) {
	now := time.Now()
	name := fmt.Sprintf("events.out.tfevents.%010d.vqaudio.%09d", now.Unix(), now.Nanosecond()) // TensorBoard reads them in this order
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	e := &eventFile{f, bufio.NewWriter(f)}
	e.event(0, protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), "brain.Event:2"))
	const start = 1 // SessionLog.START
	session := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), start)
	e.event(step, protowire.AppendBytes(protowire.AppendTag(nil, 7, protowire.BytesType), session))
	return e, e.flush()
}

// event writes an Event with one field besides time and step.
func (e *eventFile) event(step int, field []byte) {
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(time.Now().UnixNano())/1e9))
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(step))
	e.record(append(b, field...))
}

// record writes a frame.
func (e *eventFile) record(data []byte) {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(data)))
	e.w.Write(binary.LittleEndian.AppendUint32(length, masked(length)))
	e.w.Write(binary.LittleEndian.AppendUint32(data, masked(data)))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum as record_writer.h has it: data with checksums in it would do CRC-32C itself no good.
func masked(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// The fields of Summary.Value.
const (
	valueTag    = 1
	valueSimple = 2
	valueImage  = 4
	valueAudio  = 6
)

// summary writes a Summary with these values.
func (e *eventFile) summary(step int, values ...[]byte) {
	var s []byte
	for _, v := range values {
		s = protowire.AppendBytes(protowire.AppendTag(s, 1, protowire.BytesType), v)
	}
	e.event(step, protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), s))
}

// value begins a Summary.Value.
func value(tag string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), tag)
}

// scalars writes numbers by their tags.
func (e *eventFile) scalars(step int, numbers map[string]float64) {
	var values [][]byte
	for _, tag := range slices.Sorted(maps.Keys(numbers)) {
		v := protowire.AppendTag(value(tag), valueSimple, protowire.Fixed32Type)
		values = append(values, protowire.AppendFixed32(v, math.Float32bits(float32(numbers[tag]))))
	}
	e.summary(step, values...)
}

// image writes a picture, a PNG file.
func (e *eventFile) image(step int, tag string, width, height int, png []byte) {
	const rgba = 4
	var i []byte
	for field, v := range []int{height, width, rgba} {
		i = protowire.AppendVarint(protowire.AppendTag(i, protowire.Number(field+1), protowire.VarintType), uint64(v))
	}
	i = protowire.AppendBytes(protowire.AppendTag(i, 4, protowire.BytesType), png)
	e.summary(step, protowire.AppendBytes(protowire.AppendTag(value(tag), valueImage, protowire.BytesType), i))
}

// audio writes a sound of one channel, a WAV file.
func (e *eventFile) audio(step int, tag string, rate, samples int, wav []byte) {
	a := protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), math.Float32bits(float32(rate)))
	a = protowire.AppendVarint(protowire.AppendTag(a, 2, protowire.VarintType), 1)
	a = protowire.AppendVarint(protowire.AppendTag(a, 3, protowire.VarintType), uint64(samples))
	a = protowire.AppendBytes(protowire.AppendTag(a, 4, protowire.BytesType), wav)
	a = protowire.AppendString(protowire.AppendTag(a, 5, protowire.BytesType), "audio/wav")
	e.summary(step, protowire.AppendBytes(protowire.AppendTag(value(tag), valueAudio, protowire.BytesType), a))
}

// flush writes what is buffered.
func (e *eventFile) flush() error { return e.w.Flush() }

// Close closes the file, with what is buffered in it.
func (e *eventFile) Close() error {
	err := e.flush()
	if failed := e.file.Close(); err == nil {
		err = failed
	}
	return err
}
