package agent

import (
	"context"
	"encoding/binary"
	"io"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/problem"
)

const (
	// interval is how often a device asks for news when nobody says otherwise.
	interval = 6 * time.Hour
	// backOff is the pause after the first failure; it doubles up to the interval.
	backOff = time.Minute
)

// RunIn says how a device runs by itself.
type RunIn struct {
	Interval time.Duration // six hours when zero
	// Told is called after each turn.
	Told func(*Outcome, error)
}

// Run updates and reports until the context ends. Turns are spread by a fifth of
// the interval, so that a fleet that was started at once does not ask at once;
// after failures it comes back sooner, and ever more slowly.
func (d *Device) Run(ctx context.Context, in RunIn) error {
	if in.Interval <= 0 {
		in.Interval = interval
	}
	if !d.cfg.Elevated() { // waiting would not mend these two
		return problem.New(problem.Refused, activation.NotElevated)
	}
	if _, err := d.load(); err != nil {
		return err
	}
	return loop(ctx, in.Interval, d.cfg.Random, func(ctx context.Context) error {
		out, err := d.Update(ctx, UpdateIn{})
		if err == nil {
			err = turn(out)
		}
		told := d.Report(ctx)
		if p, ok := problem.As(told); ok && p.Kind == problem.Refused {
			told = nil // it wants no reports of this device; asking sooner changes nothing
		}
		if err == nil {
			err = told
		}
		if in.Told != nil && ctx.Err() == nil {
			in.Told(out, err)
		}
		return err
	})
}

// turn is what of an outcome is worth coming back for soon.
func turn(out *Outcome) error {
	if out.Stale != nil {
		return out.Stale
	}
	for _, a := range out.Updates {
		if p, ok := problem.As(a.Err); a.Result == Failed && ok && p.Kind == problem.Unavailable {
			return a.Err
		}
	}
	return nil
}

func loop(ctx context.Context, interval time.Duration, random io.Reader, act func(context.Context) error) error {
	failures := 0
	for ctx.Err() == nil {
		if act(ctx) == nil {
			failures = 0
		} else {
			failures++
		}
		pause := interval
		if failures > 0 && failures < 20 {
			pause = min(interval, backOff<<(failures-1))
		}
		pause, err := spread(pause, random)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// spread takes or adds up to a fifth.
func spread(pause time.Duration, random io.Reader) (time.Duration, error) {
	var raw [4]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return 0, err
	}
	part := float64(binary.BigEndian.Uint32(raw[:])) / (1 << 32) // 0 … 1
	return time.Duration(float64(pause) * (0.8 + 0.4*part)), nil
}
