// Command elementwise writes the elementwise kernels and row reductions of package kernel: the assembly of each tier and
// the Go files that choose between them. Each kernel is described once, in kernels.go, as straight lines of vector
// operations (program.go); x86.go turns them into AVX-512 and AVX2+FMA, neon.go into NEON, golang.go writes the Go side.
//
// It is run by go generate in internal/kernel, from the folder above this one.
package main

import (
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	write := func(name string, text []byte, err error) {
		if err == nil {
			err = os.WriteFile("../elementwise_"+name, text, 0o666)
		}
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
	text, err := writeX86(kernels)
	write("amd64.s", text, err)
	text, err = writeGo(kernels, "!noasm", avx512, avx2)
	write("amd64.go", text, err)
	text, err = writeNEON(kernels)
	write("arm64.s", text, err)
	text, err = writeGo(kernels, "!noasm", neon)
	write("arm64.go", text, err)
	text, err = writeGo(kernels, "noasm || (!amd64 && !arm64)")
	write("other.go", text, err)
}
