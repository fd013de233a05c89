package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/openesu/openesu/problem"
)

type postgresEngine struct{ pool *sql.DB }

const (
	commitWait   = 30 * time.Second // then the outcome is unknown; a synchronous standby may be gone
	rollbackWait = 5 * time.Second
	cancelWait   = 2 * time.Second // for the server to say that it has stopped a statement
)

// warned marks, in a connection's own data, that the server has sent a warning.
const warned = "esu.warned"

// errLost is a connection that was found dead when nothing of its transaction could
// have been committed.
var errLost = errors.New("the connection was lost before the commit")

func openPostgresPool(ctx context.Context, c Config) (*sql.DB, error) {
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, problem.New(problem.Invalid, MalformedURL).Because(err)
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "esu"
	}
	// A process that was stopped in the middle of a transaction must not hold its
	// locks for ever.
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "60s"
	// A plan that is kept from when a table was empty goes the wrong way when it is
	// large. Planning anew costs little beside that: statements here are short.
	config.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			conn.CustomData()[warned] = n.Message
		}
	}
	// A canceled statement is canceled on the server, so that it does not go on
	// waiting for a lock there; the connection stays good.
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelWait}
	}
	pool := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(neverOff))
	n := c.MaxConns
	if n <= 0 {
		n = 20
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	pool.SetConnMaxLifetime(time.Hour)
	if err := pool.PingContext(ctx); err != nil {
		unreachable := problem.New(problem.Unavailable, Unreachable, "server", config.Host).Because(err)
		return nil, errors.Join(unreachable, pool.Close())
	}
	return pool, nil
}

// neverOff keeps an administrator's default from giving up acknowledged rows in a
// crash; what else is set is the administrator's choice.
func neverOff(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
	return err
}

func openPostgres(ctx context.Context, c Config) (engine, error) {
	pool, err := openPostgresPool(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(ctx, pool, c.Migrations); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &postgresEngine{pool: pool}, nil
}

func (e *postgresEngine) begin(ctx context.Context, write bool) (*session, error) {
	begin := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" // one snapshot, as on SQLite
	if write {
		begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	}
	conn, err := e.pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s := &session{conn: conn}
	if err := s.control(ctx, begin); err != nil {
		s.release(true)
		if !refusedOnly(err) && ctx.Err() == nil {
			return nil, fmt.Errorf("%w: %w", errLost, err)
		}
		return nil, fmt.Errorf("begin: %w", err)
	}
	return s, nil
}

func (e *postgresEngine) commit(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWait)
	defer cancel()
	var warning any
	err := s.conn.Raw(func(driverConn any) error {
		conn := driverConn.(*stdlib.Conn).Conn() //nolint:forcetypeassert // the pool is stdlib's
		if conn.IsClosed() {
			return errLost // nothing is sent, and the server rolls back
		}
		delete(conn.PgConn().CustomData(), warned)
		tag, err := conn.Exec(ctx, "COMMIT")
		if err == nil && tag.String() == "ROLLBACK" {
			err = pgx.ErrTxCommitRollback
		}
		warning = conn.PgConn().CustomData()[warned]
		return err
	})
	s.release(err != nil)
	switch {
	case warning != nil:
		return fmt.Errorf("%w: the server warned: %v", ErrUnknownOutcome, warning)
	case err == nil:
		return nil
	// pgconn.SafeToRetry is not asked: it also says yes to a connection that broke
	// once COMMIT was on its way.
	case refusedOnly(err), errors.Is(err, pgx.ErrTxCommitRollback), errors.Is(err, errLost):
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// refusedOnly says that the server answered with an ERROR: the connection is good,
// and a commit was not written. FATAL ends the connection, perhaps after it was.
func refusedOnly(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.SeverityUnlocalized == "ERROR"
}

func (e *postgresEngine) rollback(s *session) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackWait)
	defer cancel()
	s.release(s.control(ctx, "ROLLBACK") != nil)
}

// transient: serialization_failure and deadlock_detected, and a connection that
// had died in the pool.
func (e *postgresEngine) transient(err error) bool {
	if errors.Is(err, errLost) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

func (e *postgresEngine) close() error { return e.pool.Close() }
