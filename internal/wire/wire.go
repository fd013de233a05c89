// Package wire has the documents of the device protocol, how a refusal looks on
// it, and its client.
//
// The protocol is plain HTTP with JSON bodies. Signed things travel as the bytes
// that were signed and are verified as received; nothing is parsed and written
// anew in between. Every read is bounded. The client follows no redirects: a
// device asks the server that it was told to ask.
//
//	GET  /tuf/NAME                  signed metadata
//	GET  /content/sha256/DIGEST     payloads, with ranges, for a bearer token
//	GET  /v1/nonce                  what an access request must repeat
//	POST /v1/access                 an access request for an access token
//	POST /v1/activations            activation requests for licenses
//	POST /v1/reports                what a device says of itself
//	GET  /v1/updates?program=ID     the public history
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// Limits of what travels, in bytes but for MaxBatch.
const (
	MaxRequest  = 512 << 10 // one signed document
	MaxBody     = 8 << 20
	MaxBatch    = 1000 // activation requests at once
	MaxDocument = 8 << 20
)

// What can be wrong with a body.
const (
	// BodyMalformed is a body that is not the document that was expected.
	BodyMalformed problem.Code = "wire.body-malformed"
	// BodyTooLarge is a body over its limit.
	BodyTooLarge problem.Code = "wire.body-too-large"
)

// Nonce is what GET /v1/nonce answers.
type Nonce struct {
	Nonce string `json:"nonce"`
}

// AccessRequest asks for a token to gated bytes.
type AccessRequest struct {
	Request string `json:"request"` // signed by the device, over a nonce
}

// AccessToken opens gated bytes for a day.
type AccessToken struct {
	Token   string `json:"token"`
	Expires int64  `json:"expires"` // unix seconds
}

// Activations are one or more activation requests.
type Activations struct {
	Requests []string `json:"requests"`
}

// ActivationResults are the answers, in the order of the requests.
type ActivationResults struct {
	Results []ActivationResult `json:"results"`
}

// ActivationResult is a license or a refusal.
type ActivationResult struct {
	License string   `json:"license,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// Report is what a device says of itself, signed.
type Report struct {
	Report string `json:"report"`
}

// History is the public list of released updates (rule D7).
type History struct {
	Program program.ID      `json:"program"`
	Updates []HistoryUpdate `json:"updates"`
}

// HistoryUpdate is one released update.
type HistoryUpdate struct {
	ID         program.UpdateID                 `json:"id"`
	Title      string                           `json:"title"`
	Kind       program.KindID                   `json:"kind"`
	Rating     program.Rating                   `json:"rating,omitempty"`
	Released   civil.Date                       `json:"released"`
	OutOfBand  bool                             `json:"outOfBand,omitempty"`
	Ungated    bool                             `json:"ungated,omitempty"`
	Years      map[program.TrackID]program.Year `json:"years"`
	Supersedes []program.UpdateID               `json:"supersedes,omitempty"`
	Withdrawn  bool                             `json:"withdrawn,omitempty"`
}

// Decode reads one JSON document of at most limit bytes, strictly: no unknown
// member and nothing after it.
func Decode(r io.Reader, limit int64, into any) error {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if int64(len(text)) > limit {
		return problem.New(problem.TooLarge, BodyTooLarge, "limit", limit)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return problem.New(problem.Invalid, BodyMalformed, "what", err.Error()).Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return problem.New(problem.Invalid, BodyMalformed, "what", "data after the document")
	}
	return nil
}
