package images_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"github.com/vqaudio/vqaudio/corpora/images"
)

func ExampleRead() {
	dir, err := os.MkdirTemp("", "pictures")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"train/circles/1.png", "train/squares/2.png", "test/circles/3.png"} {
		write(filepath.Join(dir, filepath.FromSlash(name)), image.NewGray(image.Rect(0, 0, 40, 30)))
	}

	c, err := images.Read(context.Background(), dir, images.Options{Side: 32, Grey: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Layout, c.Train.Len(), c.Test.Len(), c.Train.Classes, c.Train.Labels)
	fmt.Println(c.Train.Height, c.Train.Width, c.Train.Channels, len(c.Train.Pixels))
	// Output:
	// folders 2 1 [circles squares] [0 1]
	// 32 32 1 2048
}

func ExampleSampler() {
	set := &images.Set{Height: 1, Width: 1, Channels: 1, Pixels: []uint8{0, 51, 204, 255}}
	s := images.NewSampler(set, 1)
	batch, floats := make([]uint8, 2), make([]float32, 2) // [B, H, W, C]
	s.Next(batch, nil)
	images.Floats(floats, batch)

	saved := s.State() // into a checkpoint
	s.Next(batch, nil)
	again := images.NewSampler(set, 1)
	if err := again.Restore(saved); err != nil {
		log.Fatal(err)
	}
	other := make([]uint8, 2)
	again.Next(other, nil)
	fmt.Println(string(batch) == string(other))
	// Output: true
}

func write(name string, m image.Image) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		log.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, m); err != nil {
		log.Fatal(err)
	}
}
