package spectrum_test

import (
	"fmt"
	"math"

	"github.com/vqaudio/vqaudio/audio/spectrum"
)

// tone returns a second of a sine at 16 kHz.
func tone(amplitude, hz float64) []float64 {
	x := make([]float64, 16000)
	for i := range x {
		x[i] = amplitude * math.Sin(2*math.Pi*hz*float64(i)/16000)
	}
	return x
}

func ExampleAnalyser_Power() {
	analyser, err := spectrum.New(spectrum.STFT(16000))
	if err != nil {
		fmt.Println(err)
		return
	}
	power := analyser.Power(nil, tone(0.5, 1000)) // [100, 513]
	bins := analyser.Config().Bins()
	middle := power[50*bins : 51*bins]
	loudest := 0
	for k := range middle {
		if middle[k] > middle[loudest] {
			loudest = k
		}
	}
	hz := float64(loudest) * 16000 / float64(analyser.Config().FFT)
	fmt.Printf("%d frames of %d bins; %.0f Hz has %.1f dB\n", len(power)/bins, bins, hz, 10*math.Log10(float64(middle[loudest])))
	// Output: 100 frames of 513 bins; 1000 Hz has -6.0 dB
}

func ExampleAnalyser_LogMel() {
	config := spectrum.LogMel(16000, 80)
	config.Hop = 320 // one frame for each code of a model that reduces time by 320
	analyser, err := spectrum.New(config)
	if err != nil {
		fmt.Println(err)
		return
	}
	logMel := analyser.LogMel(nil, tone(0.5, 440))
	fmt.Println(len(logMel)/80, "frames")
	// Output: 50 frames
}

func ExampleAnalyser_MFCC() {
	analyser, err := spectrum.New(spectrum.MFCC(16000))
	if err != nil {
		fmt.Println(err)
		return
	}
	mfcc := analyser.MFCC(nil, tone(0.5, 440))        // [100, 13]
	features := spectrum.WithDeltas(nil, mfcc, 13, 2) // [100, 39]
	fmt.Println(len(mfcc), len(features))
	// Output: 1300 3900
}

func ExampleF0() {
	tracker, err := spectrum.NewF0(spectrum.Speech(16000))
	if err != nil {
		fmt.Println(err)
		return
	}
	track := tracker.Track(nil, tone(0.5, 220))
	fmt.Printf("%d frames, %.1f Hz\n", len(track), spectrum.MedianF0(track))
	// Output: 100 frames, 220.0 Hz
}
