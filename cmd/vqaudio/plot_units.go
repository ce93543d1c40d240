package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vqaudio/vqaudio/units"
)

// maxPlotUnits is the number of frames that plot takes units for: half a day of 400 in a second.
const maxPlotUnits = 1 << 24

// readPlotUnits reads the unit of each frame from a file of units in any format: of the only utterance, or of the one of that
// name.
func readPlotUnits(ctx context.Context, name, utterance string) ([]int32, error) {
	r, err := openUnits(ctx, name, "")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var first, named *units.Utterance
	n := 0
	for ; ; n++ {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = u
		}
		if u.Name == utterance {
			named = u
		}
	}
	found := named
	if n == 1 {
		found = first
	}
	switch {
	case found == nil:
		return nil, fmt.Errorf("%s: %s, and none is called %s", name, count(n, "utterance"), utterance)
	case found.Units == nil:
		return nil, fmt.Errorf("%s: vectors, not units", name)
	case found.Len() == 0:
		return nil, fmt.Errorf("%s: there are no units", name)
	case found.Frames() > maxPlotUnits:
		return nil, fmt.Errorf("%s: %d frames: want at most %d", name, found.Frames(), maxPlotUnits)
	}
	if found.Durations == nil {
		return found.Units, nil
	}
	var frames []int32
	for i, u := range found.Units {
		for range found.Durations[i] {
			frames = append(frames, u)
		}
	}
	return frames, nil
}
