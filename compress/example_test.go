package compress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/compress"
	"github.com/vqaudio/vqaudio/dilated"
	"github.com/vqaudio/vqaudio/units"
	"github.com/vqaudio/vqaudio/wavenet"
)

// Units are compressed under a net, which here has learnt nothing, and read back.
func Example() {
	net := wavenet.New(wavenet.Config{Classes: 32, Residual: 8, Skip: 8, Layers: 3, Cycles: 1}, dilated.Float32, rand.NewPCG(1, 2))
	prior := compress.Prior{Net: net, Fingerprint: "5ca1ab1e5ca1ab1e", Info: units.Info{Rate: 16000, Hop: 64, K: 32, Model: "d15ea5edd15ea5ed"}}
	ctx := context.Background()

	var file bytes.Buffer
	w, err := compress.NewWriter(&file, prior)
	if err != nil {
		log.Fatal(err)
	}
	u := &units.Utterance{Name: "p225_001", Sequence: units.Sequence{Units: []int32{12, 7, 3}, Durations: []int32{2, 3, 1}}}
	if err := errors.Join(w.Write(ctx, u), w.Close(ctx)); err != nil {
		log.Fatal(err)
	}

	r, err := compress.NewReader(&file, "units.vqu", prior)
	if err != nil {
		log.Fatal(err)
	}
	for {
		part, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(part.Name, part.Units, part.Durations, "of model", r.Info().Model)
	}
	// Output: p225_001 [12 7 3] [2 3 1] of model d15ea5edd15ea5ed
}
