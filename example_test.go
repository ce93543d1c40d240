package vqaudio_test

import (
	"fmt"
	"log"

	"github.com/vqaudio/vqaudio"
)

// A recording becomes units, a hundred a second.
func ExampleModel_Encode() {
	m, err := vqaudio.Default()
	if err != nil {
		log.Fatal(err)
	}
	recording, err := vqaudio.ReadClip("demo/speech/tools.wav")
	if err != nil {
		log.Fatal(err)
	}
	units, err := m.Encode(recording)
	fmt.Printf("%.2f s, %d units, %v\n", recording.Seconds(), len(units), err)
	// Output: 4.20 s, 420 units, <nil>
}

// A recording in another voice.
func ExampleModel_Convert() {
	m, err := vqaudio.Default()
	if err != nil {
		log.Fatal(err)
	}
	recording, err := vqaudio.ReadClip("demo/speech/tools.wav")
	if err != nil {
		log.Fatal(err)
	}
	converted, err := m.Convert(recording, m.Voices()[0])
	fmt.Printf("%.2f s at %d Hz, %v\n", converted.Seconds(), converted.Rate, err)
	// converted.WriteFile("converted.wav")

	// Output: 4.20 s at 8000 Hz, <nil>
}

// Speech that nobody has spoken, two seconds of it.
func ExampleModel_Generate() {
	m, err := vqaudio.Default()
	if err != nil {
		log.Fatal(err)
	}
	u, err := m.Generate(m.Voices()[0], 2, 1)
	if err != nil {
		log.Fatal(err)
	}
	clip, err := m.Decode(u)
	fmt.Printf("%d units, %.2f s, %v\n", len(u.Units), clip.Seconds(), err)
	// Output: 200 units, 2.00 s, <nil>
}
