package corpora

import "github.com/vqaudio/vqaudio/internal/holdout"

// SplitOf returns the split of an utterance for which the corpus has none: Train for about 90 of 100, Valid and Test for
// about 5 each.
//
// It is a function of the names of speaker and utterance alone, so that it is the same on every machine and in every
// folder, and stays the same when the corpus grows: the first eight bytes of the SHA-256 of "speaker/utterance", as a
// big-endian number, over 2^64; below 0.05 it is Valid, from there to 0.10 Test. The name of an utterance is that of its
// file without folders, without its extension, and in VCTK without the microphone: other encodings and recordings of it
// fall into the same split.
func SplitOf(speaker, utterance string) string { return holdout.Split(speaker + "/" + utterance) }
