package db

import (
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/openesu/openesu/problem"
)

const (
	// MigrateFirst: the PostgreSQL schema is older than this program.
	MigrateFirst problem.Code = "storage.migrate-first"
	// Newer: a newer program has written the database.
	Newer problem.Code = "storage.newer"
	// Unreachable: the database server does not answer or does not let us in.
	Unreachable problem.Code = "storage.unreachable"
	// MalformedURL: the database URL cannot be read.
	MalformedURL problem.Code = "storage.malformed-url"
)

// ErrNoRows is what Row.Scan returns when there is no row.
var ErrNoRows = sql.ErrNoRows

// ErrClosed is returned by transactions that begin after Close.
var ErrClosed = errors.New("the database is closed")

// ErrUnknownOutcome means that a commit was sent and that nobody here knows
// whether it happened: the connection broke, the answer did not come in time, or
// the server warned that its standbys have not confirmed it. Never answer
// anybody on it. Give each batch an id and insert that again with ON CONFLICT DO
// NOTHING: the insert waits for a first attempt that is still under way, and the
// number of rows says what became of it.
var ErrUnknownOutcome = errors.New("the outcome of the commit is unknown")

// refusal is an error whose transaction is committed.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// CommitWith makes Write commit and then return err: a refusal that leaves its
// audit row. CommitWith(nil) is nil.
func CommitWith(err error) error {
	if err == nil {
		return nil
	}
	return &refusal{err}
}

// UniqueViolation says that a row with such a key exists already.
func UniqueViolation(err error) bool {
	return violates(err, "23505", sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID)
}

// ForeignKeyViolation says that a row points to one that does not exist, or that
// one that others point to was deleted.
func ForeignKeyViolation(err error) bool {
	return violates(err, "23503", sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
}

// CheckViolation says that a CHECK of the schema refused a value.
func CheckViolation(err error) bool {
	return violates(err, "23514", sqlite3.SQLITE_CONSTRAINT_CHECK)
}

func violates(err error, state string, codes ...int) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == state
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		for _, code := range codes {
			if lite.Code() == code {
				return true
			}
		}
	}
	return false
}
