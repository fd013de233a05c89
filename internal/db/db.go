// Package db is the one door to SQLite and PostgreSQL.
//
// A store writes one SQL text for both engines: $1…$n, integers, text and bytes.
// There are two ways in. Read sees one unchanging snapshot and cannot write.
// Write commits when the closure returns nil or CommitWith, and rolls back on
// every other error. The closure may run more than once (PostgreSQL aborts a
// transaction to end a deadlock), so it only assigns; it uses its Tx alone, from
// one goroutine, and starts no other transaction.
//
// Invariants, the same on both engines and held by the conformance suite:
//   - When Write returns nil, the rows survive a power cut (WAL with
//     synchronous=FULL; on PostgreSQL synchronous_commit is never off).
//   - A statement that failed dooms its transaction: each later statement returns
//     the same error and nothing is committed. Where a conflict is a normal case,
//     the statement says ON CONFLICT.
//   - Tx.Now is fixed when the transaction begins, in UTC, to the second.
//   - One result is open at a time: read Rows to the end or close them first.
//   - What a decision rests on is read behind a lock, and a lock is
//     UPDATE … SET version = version + 1 … RETURNING.
//
// Why Write is READ COMMITTED on PostgreSQL and not SERIALIZABLE: many processes
// count on the same few keys. Behind an explicit lock the second waits for the
// first and then sees what it wrote; serializable, whole batches of strangers'
// requests would be thrown away and run again, and most often where most is sold.
// SQLite has one writer at a time (BEGIN IMMEDIATE), which is stricter.
//
// The package decides nothing, owns no data folder (durable.Lock does), and has
// two exceptions from "one SQL text": InsertMany and Lease. The one table that it
// keeps for itself is db_lease.
package db

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"sync"
	"time"
)

// Config names a database. Exactly one of Path and URL is set.
type Config struct {
	Path       string           // an SQLite file; its folder exists
	URL        string           // postgres://user:password@host:port/database
	MaxConns   int              // PostgreSQL connections, or SQLite readers; 0 means 20, or 4
	Now        func() time.Time // nil means time.Now
	Migrations Migrations
}

// Migrations are goose's SQL files ("00001_keys.sql" with "-- +goose Up"), once
// per engine with the same version numbers. They only go forward.
type Migrations struct{ SQLite, PostgreSQL fs.FS }

// DB is an open database, safe for use by many goroutines.
type DB struct {
	engine engine
	now    func() time.Time
	close  func() error // once
}

// engine is what differs between the two below one transaction.
type engine interface {
	// begin waits for a connection and begins a transaction on it.
	begin(ctx context.Context, write bool) (*session, error)
	// commit ends the transaction for good or tells, by ErrUnknownOutcome, that
	// nobody knows; any other error means that nothing was committed. It does not
	// heed the cancellation of ctx. The session is released.
	commit(ctx context.Context, s *session) error
	// rollback releases the session, without its connection if that is broken.
	rollback(s *session)
	// transient says that the same closure may succeed when it is run again.
	transient(err error) bool
	close() error
}

// Open opens a database whose schema fits this program. An SQLite file is made
// and migrated here, for it has one owner; a PostgreSQL database that is behind is
// storage.migrate-first, because other processes may be using it. Either one
// that is ahead is storage.newer.
func Open(ctx context.Context, c Config) (*DB, error) {
	e, err := open(ctx, c)
	if err != nil {
		return nil, err
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return &DB{engine: e, now: now, close: sync.OnceValue(e.close)}, nil
}

func open(ctx context.Context, c Config) (engine, error) {
	switch {
	case (c.Path == "") == (c.URL == ""):
		return nil, errors.New("open database: give either a path or a URL")
	case c.Path != "":
		return openSQLite(ctx, c)
	default:
		return openPostgres(ctx, c)
	}
}

// Close waits for running transactions and closes the database. Transactions that
// begin later fail. It may be called again.
func (d *DB) Close() error { return d.close() }

// Read runs f on one snapshot of the database; writing in it fails.
func (d *DB) Read(ctx context.Context, f func(*Tx) error) error { return d.run(ctx, false, f) }

// Write runs f in a transaction and commits it if f returns nil, or commits and
// returns err if f returns CommitWith(err). Any other error rolls back and is
// returned. ErrUnknownOutcome means that the commit was sent and not answered.
func (d *DB) Write(ctx context.Context, f func(*Tx) error) error { return d.run(ctx, true, f) }

const (
	attempts  = 10 // then a deadlock is a defect of lock order, and is reported
	firstWait = 5 * time.Millisecond
	lastWait  = 250 * time.Millisecond
)

func (d *DB) run(ctx context.Context, write bool, f func(*Tx) error) error {
	for attempt, wait := 1, firstWait; ; attempt, wait = attempt+1, min(2*wait, lastWait) {
		err := d.once(ctx, write, f)
		if err == nil || attempt == attempts || errors.Is(err, ErrUnknownOutcome) || !d.engine.transient(err) {
			return err
		}
		select { // with jitter, so that those who collided do not meet again
		case <-time.After(rand.N(wait) + 1): //nolint:gosec // no secret
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func (d *DB) once(ctx context.Context, write bool, f func(*Tx) error) error {
	s, err := d.engine.begin(ctx, write)
	if err != nil {
		return err
	}
	settled := false
	defer func() { // also after a panic or runtime.Goexit in f
		if !settled {
			d.engine.rollback(s)
		}
	}()
	tx := &Tx{Now: d.now().UTC().Truncate(time.Second), ctx: ctx, s: s}
	answer := f(tx)
	failed := tx.end()
	refused, commits := errors.AsType[*refusal](answer)
	commits = commits || answer == nil
	switch {
	case failed != nil && (commits || d.engine.transient(failed)):
		return failed // f has not passed it on
	case !commits || !write:
		return answer
	}
	settled = true
	if err := d.engine.commit(ctx, s); err != nil {
		return err
	}
	if refused != nil && answer == error(refused) { //nolint:errorlint // the outermost wrapper has served
		return refused.error
	}
	return answer
}
