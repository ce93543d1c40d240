package alignment_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/alignment"
)

func Example() {
	dir, err := os.MkdirTemp("", "alignment")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "go.tsv")
	table := "path\tstart\tdur\tphone\nann/go.flac\t0.00\t0.20\tSIL\nann/go.flac\t0.20\t0.08\tG\nann/go.flac\t0.28\t0.17\tOW\n"
	if err := os.WriteFile(name, []byte(table), 0o666); err != nil {
		log.Fatal(err)
	}

	set, err := alignment.Read(name, alignment.DefaultTier)
	if err != nil {
		log.Fatal(err)
	}
	which, err := set.Match([]string{"/recordings/ann/go.flac"})
	if err != nil {
		log.Fatal(err)
	}
	u := set.Utterances[which[0]]
	for _, seconds := range []float64{0.1, 0.25, 0.3} {
		fmt.Println(seconds, set.Phones[u.At(seconds)])
	}
	// Output:
	// 0.1 SIL
	// 0.25 G
	// 0.3 OW
}
