package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// session is one connection while one transaction has it.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // by text; nil on PostgreSQL, whose driver keeps its own
	home  chan *session        // where it waits between transactions; nil on PostgreSQL
}

// maxStmts is far above what this program has; it bounds what a statement whose
// text varies could do.
const maxStmts = 512

// prepare returns the statement prepared once for this connection, or nil where
// the driver does that.
func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if s.stmts == nil {
		return nil, nil //nolint:nilnil // documented
	}
	if stmt := s.stmts[query]; stmt != nil {
		return stmt, nil
	}
	if len(s.stmts) >= maxStmts {
		s.forget()
	}
	stmt, err := s.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = stmt
	return stmt, nil
}

func (s *session) forget() {
	for _, stmt := range s.stmts {
		_ = stmt.Close() // frees memory; there is nothing to save
	}
	clear(s.stmts)
}

// control runs BEGIN, COMMIT and ROLLBACK.
func (s *session) control(ctx context.Context, query string) error {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return err
	}
	if stmt == nil {
		_, err = s.conn.ExecContext(ctx, query)
	} else {
		_, err = stmt.ExecContext(ctx)
	}
	return err
}

// release gives the connection back, or drops it when it is broken: what was open
// on it is rolled back.
func (s *session) release(broken bool) {
	if broken {
		s.forget()
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // makes Close drop it
	}
	if broken || s.home == nil {
		_ = s.conn.Close()
		s.conn = nil
	}
	if s.home != nil {
		s.home <- s
	}
}

// seats are a fixed number of SQLite connections. database/sql's own pool would
// forget the prepared statements with each transaction.
type seats struct {
	pool   *sql.DB
	free   chan *session
	closed chan struct{}
}

func newSeats(pool *sql.DB, n int) *seats {
	pool.SetMaxOpenConns(n)
	p := &seats{pool: pool, free: make(chan *session, n), closed: make(chan struct{})}
	for range n {
		p.free <- &session{stmts: map[string]*sql.Stmt{}, home: p.free}
	}
	return p
}

// take waits in line for a connection.
func (p *seats) take(ctx context.Context) (*session, error) {
	select {
	case <-p.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	default:
	}
	select {
	case <-p.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	case s := <-p.free:
		if s.conn == nil {
			conn, err := p.pool.Conn(ctx)
			if err != nil {
				p.free <- s
				return nil, fmt.Errorf("connect: %w", err)
			}
			s.conn = conn
		}
		return s, nil
	}
}

// close waits for the transactions that are under way.
func (p *seats) close() error {
	close(p.closed)
	var errs []error
	for range cap(p.free) {
		if s := <-p.free; s.conn != nil {
			s.forget()
			errs = append(errs, s.conn.Close())
		}
	}
	return errors.Join(append(errs, p.pool.Close())...)
}
