package evaluate_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/vqaudio/vqaudio/evaluate"
)

func ExampleScorePhones() {
	// Code 0 is mostly phone 0, codes 1 and 2 are mostly phone 1.
	var fit, scored evaluate.PhoneCounts
	fit.Add(0, 0, 90)
	fit.Add(0, 1, 10)
	fit.Add(1, 1, 60)
	fit.Add(2, 1, 40)
	scored.Add(0, 0, 45)
	scored.Add(1, 0, 5)
	scored.Add(1, 1, 30)
	scored.Add(2, 1, 20)

	s := evaluate.ScorePhones(&fit, &scored, rand.NewPCG(1, 1))
	fmt.Printf("%d frames of %d phones\n", s.Frames, s.Classes)
	fmt.Printf("accuracy %.2f, phone purity %.2f, cluster purity %.2f, PNMI %.2f\n", s.Accuracy, s.PhonePurity, s.ClusterPurity, s.PNMI)
	fmt.Println("random codes are worse:", s.Random.Accuracy < 0.7 && s.Random.PNMI < 0.1)
	// Output:
	// 100 frames of 2 phones
	// accuracy 0.95, phone purity 0.95, cluster purity 0.75, PNMI 0.79
	// random codes are worse: true
}
