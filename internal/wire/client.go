package wire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/update"
)

// Why a server cannot be asked. Each names the host, so that a person can allow
// it (rule K17).
const (
	// NameNotResolved is a host whose name does not resolve.
	NameNotResolved problem.Code = "network.name-not-resolved"
	// Timeout is a host that does not answer in time.
	Timeout problem.Code = "network.timeout"
	// TLSFailed is a host with which no secure connection can be agreed.
	TLSFailed problem.Code = "network.tls"
	// Unreachable is a host that refuses or drops the connection.
	Unreachable problem.Code = "network.unreachable"
	// Unexpected is an answer that is not of this protocol.
	Unexpected problem.Code = "network.unexpected-answer"
	// AddressBad is a server address that is no http or https URL.
	AddressBad problem.Code = "network.address-malformed"
)

// Client speaks the device protocol to one server, authority or site. It is
// safe for use by many goroutines.
type Client struct {
	base  *url.URL
	http  *http.Client
	lang  string
	stall time.Duration
}

// Config says how to reach a server. The zero value of everything but URL is useful.
type Config struct {
	URL     string        // https://updates.example.com
	Lang    string        // Accept-Language
	Timeout time.Duration // for one request that is no payload; 30 seconds when zero
	Stall   time.Duration // how long a payload may bring no byte; a minute when zero
	// Transport replaces the default, which asks the environment for a proxy.
	Transport http.RoundTripper
}

// NewClient checks the address and returns a client. It asks nothing yet.
func NewClient(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.RawQuery != "" || base.User != nil {
		return nil, problem.New(problem.Invalid, AddressBad, "address", c.URL)
	}
	timeout := cmp.Or(c.Timeout, 30*time.Second)
	transport := c.Transport
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		t.ResponseHeaderTimeout = timeout
		transport = t
	}
	return &Client{base: base, lang: c.Lang, stall: cmp.Or(c.Stall, time.Minute), http: &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Base is the server's address.
func (c *Client) Base() string { return c.base.String() }

// Nonce asks for a nonce.
func (c *Client) Nonce(ctx context.Context) (string, error) {
	var n Nonce
	err := c.get(ctx, "/v1/nonce", nil, &n)
	return n.Nonce, err
}

// Access trades a signed access request for a token.
func (c *Client) Access(ctx context.Context, request string) (AccessToken, error) {
	var t AccessToken
	err := c.post(ctx, "/v1/access", AccessRequest{request}, &t)
	return t, err
}

// Activate sends activation requests and returns as many results, in order.
func (c *Client) Activate(ctx context.Context, requests []string) ([]ActivationResult, error) {
	var r ActivationResults
	if err := c.post(ctx, "/v1/activations", Activations{requests}, &r); err != nil {
		return nil, err
	}
	if len(r.Results) != len(requests) {
		return nil, c.unexpected(fmt.Errorf("%d results for %d requests", len(r.Results), len(requests)))
	}
	return r.Results, nil
}

// Report sends a signed report.
func (c *Client) Report(ctx context.Context, report string) error {
	return c.post(ctx, "/v1/reports", Report{report}, nil)
}

// Updates is the public history of a program.
func (c *Client) Updates(ctx context.Context, id program.ID) (History, error) {
	var h History
	err := c.get(ctx, "/v1/updates", url.Values{"program": {string(id)}}, &h)
	return h, err
}

// Metadata fetches one file of signed metadata of at most limit bytes. One that
// is not there is (nil, nil).
func (c *Client) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, "/tuf/"+name, nil, nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, c.failure(err)
	}
	return body, nil // one byte too many tells the caller that it is too long
}

// Content opens a payload from an offset on. The caller reads no more than it
// expects, verifies what it read, and closes it. A server that falls silent is
// network.timeout, here or from Read; what was read until then is good.
func (c *Client) Content(ctx context.Context, digest update.Digest, token string, offset int64) (io.ReadCloser, error) {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	if offset > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	streaming := *c
	plain := *c.http
	plain.Timeout = 0 // a payload takes as long as it takes, as long as it comes
	streaming.http = &plain
	live := c.watch(ctx)
	resp, err := streaming.do(live.ctx, http.MethodGet, "/content/sha256/"+string(digest), nil, header, nil) //nolint:bodyclose // live closes it
	if err != nil {
		_ = live.Close()
		return nil, live.told(err)
	}
	live.timer.Stop()
	live.body = resp.Body
	switch {
	case offset == 0 && resp.StatusCode == http.StatusOK, offset > 0 && resp.StatusCode == http.StatusPartialContent:
		return live, nil
	case offset > 0 && resp.StatusCode == http.StatusOK: // no ranges there: skip what we have
		if _, err := io.CopyN(io.Discard, live, offset); err != nil {
			_ = live.Close()
			return nil, c.failure(err)
		}
		return live, nil
	}
	resp.Body = live
	defer func() { _ = live.Close() }()
	return nil, c.refusal(resp)
}

// lively is a body that ends when nothing comes. Only waiting for the server
// counts, not what the reader does between two reads.
type lively struct {
	c     *Client
	ctx   context.Context //nolint:containedctx // of one request
	end   context.CancelCauseFunc
	timer *time.Timer
	body  io.ReadCloser // nil until there is an answer
}

func (c *Client) watch(ctx context.Context) *lively {
	l := &lively{c: c}
	l.ctx, l.end = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(c.stall, func() { l.end(context.DeadlineExceeded) })
	return l
}

// told is network.timeout when silence is why something failed.
func (l *lively) told(err error) error {
	if cause := context.Cause(l.ctx); errors.Is(cause, context.DeadlineExceeded) {
		return l.c.failure(cause)
	}
	return err
}

func (l *lively) Read(p []byte) (int, error) {
	l.timer.Reset(l.c.stall)
	n, err := l.body.Read(p)
	l.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = l.told(err)
	}
	return n, err
}

func (l *lively) Close() error {
	l.timer.Stop()
	l.end(nil)
	if l.body == nil {
		return nil
	}
	return l.body.Close()
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	resp, err := c.do(ctx, http.MethodGet, path, query, nil, nil)
	if err != nil {
		return err
	}
	return c.answer(resp, into)
}

func (c *Client) post(ctx context.Context, path string, document, into any) error {
	body, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	resp, err := c.do(ctx, http.MethodPost, path, nil, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return err
	}
	return c.answer(resp, into)
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (*http.Response, error) {
	target := *c.base
	target.Path += path
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.lang != "" {
		req.Header.Set("Accept-Language", c.lang)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failure(err)
	}
	return resp, nil
}

func (c *Client) answer(resp *http.Response, into any) error {
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent && into == nil:
		return nil
	case resp.StatusCode != http.StatusOK:
		return c.refusal(resp)
	case into == nil:
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxDocument))
	if err != nil {
		return c.failure(err)
	}
	if err := json.Unmarshal(text, into); err != nil { // a newer server may say more
		return c.unexpected(err)
	}
	return nil
}

// refusal reads the problem that a server answered with.
func (c *Client) refusal(resp *http.Response) error {
	var d Problem
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxRequest))
	if err != nil || json.Unmarshal(text, &d) != nil || d.Code == "" {
		return c.unexpected(fmt.Errorf("status %s", resp.Status))
	}
	return d.Problem()
}

func (c *Client) unexpected(err error) error {
	return problem.New(problem.Unavailable, Unexpected, "host", c.base.Host, "what", err.Error()).Because(err)
}

// failure names what is wrong with the network, in the terms that an
// administrator can act on (rule K17).
func (c *Client) failure(err error) error {
	code := Unreachable
	var (
		dns         *net.DNSError
		unknownAuth x509.UnknownAuthorityError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		alert       tls.AlertError
		timeout     net.Error
	)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns) && !dns.IsTimeout:
		code = NameNotResolved
	case errors.As(err, &unknownAuth), errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert),
		errors.Is(err, http.ErrSchemeMismatch):
		code = TLSFailed
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		code = Timeout
	}
	return problem.New(problem.Unavailable, code, "host", c.base.Host).Because(err)
}
