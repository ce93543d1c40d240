package images

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/vqaudio/vqaudio/files"
)

// cifarSide is the height and width of CIFAR's pictures.
const cifarSide = 32

// cifarBatch matches the names of batches: "data_batch_1" is for training.
var cifarBatch = regexp.MustCompile(`^(?:(data)_batch_\d+|([a-z]+)(?:_batch)?)\.bin$`)

type cifarFile struct {
	name  string
	split split
}

// findCIFAR returns the batches in dir, sorted by name.
func findCIFAR(dir string) ([]cifarFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []cifarFile
	for _, e := range entries {
		m := cifarBatch.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		s, ok := splitOf(m[2])
		if m[1] == "data" {
			s, ok = train, true
		}
		if ok {
			found = append(found, cifarFile{filepath.Join(dir, e.Name()), s})
		}
	}
	return found, nil
}

func readCIFAR(ctx context.Context, dir string) (*Corpus, error) {
	batches, err := findCIFAR(dir)
	if err != nil {
		return nil, err
	}
	if len(batches) == 0 {
		return nil, fmt.Errorf("%s: has no data_batch_1.bin, train.bin or the like", dir)
	}
	labelBytes := 1
	classes, err := readClasses(dir, "fine_label_names.txt")
	if classes != nil {
		labelBytes = 2
	} else if err == nil {
		classes, err = readClasses(dir, "batches.meta.txt", "classes.txt")
	}
	if err != nil {
		return nil, err
	}
	var sets [splits]*Set
	for _, b := range batches {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if sets[b.split] == nil {
			sets[b.split] = &Set{Height: cifarSide, Width: cifarSide, Channels: 3, Classes: classes}
		}
		if err := sets[b.split].readBatch(b.name, labelBytes); err != nil {
			return nil, err
		}
	}
	c := corpus(CIFAR, sets)
	if c.Train == nil && c.Valid == nil && c.Test == nil {
		return nil, &files.FormatError{File: batches[0].name, Found: "an empty file", Expected: "records of CIFAR"}
	}
	return c, nil
}

func (s *Set) readBatch(name string, labelBytes int) error {
	f, _, err := open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.decodeBatch(f, name, labelBytes)
}

// decodeBatch appends the records of a batch to s.
func (s *Set) decodeBatch(r io.Reader, name string, labelBytes int) error {
	const plane = cifarSide * cifarSide
	in := bufio.NewReaderSize(r, 1<<16)
	record := make([]byte, labelBytes+3*plane)
	for offset := int64(0); ; offset += int64(len(record)) {
		n, err := io.ReadFull(in, record)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return &files.FormatError{File: name, Offset: offset + int64(n), Found: "the end", Expected: fmt.Sprintf("%d bytes more, for whole records of %d", len(record)-n, len(record))}
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		}
		label := record[labelBytes-1]
		if err := checkLabel(name, offset+int64(labelBytes-1), label, s.Classes); err != nil {
			return err
		}
		s.Labels = append(s.Labels, int32(label))
		s.Pixels = slices.Grow(s.Pixels, 3*plane)
		end := len(s.Pixels)
		s.Pixels = s.Pixels[:end+3*plane]
		red, green, blue := record[labelBytes:][:plane], record[labelBytes+plane:][:plane], record[labelBytes+2*plane:][:plane]
		for i, to := 0, s.Pixels[end:]; i < plane; i++ {
			to[3*i], to[3*i+1], to[3*i+2] = red[i], green[i], blue[i]
		}
	}
}
