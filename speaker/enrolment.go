package speaker

import "time"

// Enrolment says where a voice comes from that a model was given after its training. Files keep it beside the model.
type Enrolment struct {
	Time    time.Time `json:"time"`    // when, in UTC
	Clips   []string  `json:"clips"`   // names of the recordings
	Seconds float64   `json:"seconds"` // of speech in them, fitted on and held out
	Gain    float64   `json:"gain"`    // in nats per sample of speech held out, over the voices that the model had
}
