package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Tx is one transaction; it ends with the closure that received it.
type Tx struct {
	Now time.Time // when it began, UTC, to the second

	ctx    context.Context //nolint:containedctx // a Tx lives as long as the call that carries the context
	s      *session
	open   *Rows
	failed error
	ended  bool
}

var (
	errEnded = errors.New("the transaction has ended")
	errOpen  = errors.New("rows of an earlier query are still open")
)

// Exec runs a statement and returns the number of rows that it changed.
func (tx *Tx) Exec(query string, args ...any) (int64, error) {
	args, err := tx.bind(args)
	if err != nil {
		return 0, err
	}
	return tx.exec(query, args)
}

// Query runs a statement that returns rows. Close them, or read them to the end.
func (tx *Tx) Query(query string, args ...any) (*Rows, error) {
	args, err := tx.bind(args)
	if err != nil {
		return nil, err
	}
	stmt, err := tx.s.prepare(tx.ctx, query)
	if err != nil {
		return nil, tx.fail(err)
	}
	var rows *sql.Rows
	if stmt != nil {
		rows, err = stmt.QueryContext(tx.ctx, args...)
	} else {
		rows, err = tx.s.conn.QueryContext(tx.ctx, query, args...)
	}
	if err != nil {
		return nil, tx.fail(err)
	}
	tx.open = &Rows{rows: rows, tx: tx}
	return tx.open, nil
}

// QueryRow runs a statement of which one row is wanted; its Scan tells the error.
func (tx *Tx) QueryRow(query string, args ...any) Row {
	rows, err := tx.Query(query, args...)
	return Row{rows: rows, err: err}
}

// exec takes arguments that are bound already.
func (tx *Tx) exec(query string, args []any) (int64, error) {
	stmt, err := tx.s.prepare(tx.ctx, query)
	if err != nil {
		return 0, tx.fail(err)
	}
	var result sql.Result
	if stmt != nil {
		result, err = stmt.ExecContext(tx.ctx, args...)
	} else {
		result, err = tx.s.conn.ExecContext(tx.ctx, query, args...)
	}
	if err != nil {
		return 0, tx.fail(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, tx.fail(err)
	}
	return n, nil
}

// fail dooms the transaction. Without it, SQLite would go on after an error that
// has already ended the transaction, and each statement would commit by itself.
func (tx *Tx) fail(err error) error {
	if tx.failed == nil {
		tx.failed = err
	}
	return err
}

func (tx *Tx) end() error {
	if tx.open != nil {
		tx.open.Close()
	}
	tx.ended = true
	return tx.failed
}

// bind brings arguments to what both engines store alike: int64, string, []byte
// and NULL, or types made of these.
func (tx *Tx) bind(args []any) ([]any, error) {
	switch {
	case tx.ended:
		return nil, errEnded
	case tx.failed != nil:
		return nil, tx.failed
	case tx.open != nil:
		return nil, tx.fail(errOpen)
	}
	bound := make([]any, len(args))
	for i, arg := range args {
		v, err := bindValue(arg)
		if err != nil {
			return nil, tx.fail(fmt.Errorf("argument $%d: %w", i+1, err))
		}
		bound[i] = v
	}
	return bound, nil
}

func bindValue(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, int64:
		return v, nil
	case string:
		// PostgreSQL refuses such text and SQLite keeps it; nobody may come to rely on that.
		if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
			return nil, errors.New("text is not UTF-8, or has a zero byte")
		}
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil //nolint:nilnil // NULL
		}
		return v, nil
	case bool, float64, float32, time.Time:
		return nil, fmt.Errorf("%T is not stored: use integers, text or bytes", arg)
	}
	v, err := driver.DefaultParameterConverter.ConvertValue(arg)
	if err != nil {
		return nil, err
	}
	return bindValue(v)
}

// Rows are the rows of one query, used like those of database/sql.
type Rows struct {
	rows *sql.Rows
	tx   *Tx
}

// Next moves to the next row; at the end it closes the rows and returns false.
func (r *Rows) Next() bool {
	if r.rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Scan copies the row's columns into what dest points to.
func (r *Rows) Scan(dest ...any) error { return r.rows.Scan(dest...) }

// Err tells, after Next returned false, whether it was for an error.
func (r *Rows) Err() error { return r.rows.Err() }

// Close may be called more than once. What it could say, Err says too.
func (r *Rows) Close() {
	_ = r.rows.Close()
	if err := r.rows.Err(); err != nil {
		_ = r.tx.fail(err)
	}
	if r.tx.open == r {
		r.tx.open = nil
	}
}

// Row is the first row of a query.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the columns into what dest points to, or returns ErrNoRows.
func (r Row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	return r.rows.Scan(dest...)
}
