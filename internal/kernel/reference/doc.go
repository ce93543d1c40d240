// Package reference holds the plain float64 loops that every kernel, layer and loss of vqaudio is tested against. They
// are written to be read: no blocking, no vectors, one loop per index. Gradients here are themselves checked against
// finite differences.
package reference
