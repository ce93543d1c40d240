//go:build race

package dilated

// raceEnabled: the race detector allocates.
const raceEnabled = true
