package audio

import "fmt"

// Mono mixes the channels of src into one: their mean, so that the sum of sounds that all channels hold keeps its level,
// and nothing can clip. A source with one channel is returned as it is.
func Mono(src Source) Source {
	if src.Format().NumChannels == 1 {
		return src
	}
	return &oneChannel{src: src, channel: mean}
}

// Channel takes channel i of src, counted from 0, and leaves the others out.
func Channel(src Source, i int) (Source, error) {
	channels := src.Format().NumChannels
	if i < 0 || i >= channels {
		return nil, fmt.Errorf("audio: no channel %d: there are %d, counted from 0", i, channels)
	}
	if channels == 1 {
		return src, nil
	}
	return &oneChannel{src: src, channel: i}, nil
}

// mean stands for no channel in oneChannel, but for the mean of all.
const mean = -1

// oneChannel makes one channel of many.
type oneChannel struct {
	src     Source
	channel int
	frames  []float64 // a block of src
}

func (s *oneChannel) Format() Format {
	f := s.src.Format()
	f.NumChannels = 1
	return f
}

func (s *oneChannel) Read(block []float64) (int, error) {
	// A file may name 65,535 channels: the block of src is bounded in samples, not in frames.
	const most = 1 << 15
	channels := s.src.Format().NumChannels
	need := min(len(block), max(1, most/channels)) * channels
	if cap(s.frames) < need {
		s.frames = make([]float64, need)
	}
	n, err := s.src.Read(s.frames[:need])
	frames := s.frames[:n]
	n /= channels
	block = block[:n]
	switch {
	case s.channel != mean:
		for i := range block {
			block[i] = frames[i*channels+s.channel]
		}
	case channels == 2:
		for i := range block {
			block[i] = (frames[2*i] + frames[2*i+1]) / 2
		}
	default:
		for i := range block {
			sum := 0.0
			for _, x := range frames[i*channels : (i+1)*channels] {
				sum += x
			}
			block[i] = sum / float64(channels)
		}
	}
	return n, err
}
