package experiment_test

import (
	"fmt"

	"github.com/vqaudio/vqaudio/evaluate"
	"github.com/vqaudio/vqaudio/experiment"
	"github.com/vqaudio/vqaudio/train"
)

// Words for figures: here of an autoencoder that has learnt to tell nothing.
func ExampleCollapse_Explain() {
	config, err := train.Preset("small")
	if err != nil {
		fmt.Println(err)
		return
	}
	config.Model.Bottleneck.KLWarmUp = 0
	found := experiment.Collapse{Config: config}
	for i, r := range []evaluate.Report{
		{Crops: 48, True: 2.850, Shuffled: 2.851, Constant: 2.850, KL: 0.02, Sampled: 2.850},
		{Crops: 48, True: 2.800, Shuffled: 3.900, Constant: 4.100, Codes: evaluate.Codes{Entries: 512, Used: 500, Perplexity: 256}},
		{Crops: 48, True: 2.700, Shuffled: 4.500, Constant: 4.700},
	} {
		found.Runs = append(found.Runs, experiment.Run{Kind: experiment.Kinds[i], Steps: 1000, Validations: []train.Validation{{Step: 1000, Report: r}}})
	}
	fmt.Println(found.Explain()[1])
	// Output:
	// **The variational autoencoder collapsed**: its latents tell 0.02 bits per frame, and with those of other sound the decoder loses 0.001 nats per sample (2.851 instead of 2.850). In its loss a bit in every frame costs 0.0108 nats per sample (its weight is 1), from the first step on, while a decoder has to learn before it gains by one, and its own past tells it much of the same. So it is cheaper to tell nothing: the posterior becomes the prior, the latents noise, and the decoder learns to do without. Beside the model with codes it tells 0 % of the bits, and loses 0 % of what that one loses.
}
