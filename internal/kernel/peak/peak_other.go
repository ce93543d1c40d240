//go:build noasm || (!amd64 && !arm64)

package peak

import "github.com/vqaudio/vqaudio/internal/kernel"

func assembly(kernel.Setting) []Kind { return nil }

func read(buf []byte) { readGeneric(buf) }
