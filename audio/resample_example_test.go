package audio_test

import (
	"fmt"
	"math"

	goaudio "github.com/go-audio/audio"

	"github.com/vqaudio/vqaudio/audio"
)

// A second at 48 kHz of a tone of 1 kHz, and one of 15 kHz, which 16 kHz cannot hold.
func ExampleResample() {
	sound := &goaudio.FloatBuffer{Format: &audio.Format{NumChannels: 1, SampleRate: 48000}, Data: make([]float64, 48000)}
	for i := range sound.Data {
		t := float64(i) / 48000
		sound.Data[i] = 0.5*math.Sin(2*math.Pi*1000*t) + 0.5*math.Sin(2*math.Pi*15000*t)
	}
	lower, err := audio.Resample(audio.FromBuffer(sound), 16000)
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := audio.ReadAll(lower)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(out.Data), "samples at", lower.Format().SampleRate, "Hz")
	for i := 8001; i < 8008; i++ { // after half a second, half a period of 1 kHz
		fmt.Printf("%.3f ", out.Data[i])
	}
	// Output:
	// 16000 samples at 16000 Hz
	// 0.191 0.354 0.462 0.500 0.462 0.354 0.191
}
