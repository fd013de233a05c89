package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteEngine has one writer, so that writers wait in line here and not in
// SQLite's busy loop, and a few readers, which see the last commit and never wait.
type sqliteEngine struct{ writer, readers *seats }

func sqliteURL(path, extra string) string {
	pragmas := []string{
		"busy_timeout(10000)", // milliseconds, for other programs that look into the file
		"journal_mode(WAL)",   // readers beside the writer
		"synchronous(FULL)",   // each commit is flushed
		"fullfsync(1)",        // on macOS flushed means more than fsync
		"foreign_keys(1)",     //
		"trusted_schema(0)",   //
		"cache_size(-16384)",  // KiB for each connection
		"temp_store(MEMORY)",  // no temporary files beside the data
		"journal_size_limit(67108864)",
	}
	// _dqs=0: "x" is a name and never, for want of one, a text.
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // file:/C:/…
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() +
		"?_dqs=0&_pragma=" + strings.Join(pragmas, "&_pragma=") + extra
}

func openSQLitePool(path, extra string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	c, err := sqlite.NewConnector(sqliteURL(path, extra))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return sql.OpenDB(c), nil
}

// openSQLiteWriter makes the file if there is none, for its owner's eyes only;
// SQLite gives the files beside it the same permissions.
func openSQLiteWriter(path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return openSQLitePool(path, "")
}

func openSQLite(ctx context.Context, c Config) (engine, error) {
	if _, _, err := Migrate(ctx, c); err != nil {
		return nil, err
	}
	writer, err := openSQLiteWriter(c.Path)
	if err != nil {
		return nil, err
	}
	readers, err := openSQLitePool(c.Path, "&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	n := c.MaxConns
	if n <= 0 {
		n = 4
	}
	e := &sqliteEngine{writer: newSeats(writer, 1), readers: newSeats(readers, n)}
	var mode string
	if err := writer.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		return nil, errors.Join(fmt.Errorf("open %s: journal mode is %q, not wal (is it on a network disk?): %w", c.Path, mode, err), e.close())
	}
	return e, nil
}

func (e *sqliteEngine) begin(ctx context.Context, write bool) (*session, error) {
	from, begin := e.readers, "BEGIN"
	if write {
		from, begin = e.writer, "BEGIN IMMEDIATE"
	}
	s, err := from.take(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.control(ctx, begin); err != nil {
		s.release(true)
		return nil, fmt.Errorf("begin: %w", err)
	}
	return s, nil
}

func (e *sqliteEngine) commit(ctx context.Context, s *session) error {
	err := s.control(context.WithoutCancel(ctx), "COMMIT")
	s.release(err != nil) // a connection that is closed rolls back
	if err == nil {
		return nil
	}
	lite, ok := errors.AsType[*sqlite.Error](err)
	if ok && (lite.Code()&0xff == sqlite3.SQLITE_CONSTRAINT || lite.Code()&0xff == sqlite3.SQLITE_BUSY) {
		return fmt.Errorf("commit: %w", err) // refused before a byte was written
	}
	// After a failed write or flush the commit may or may not be in the log when
	// that is read after a crash.
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

func (e *sqliteEngine) rollback(s *session) {
	// It fails where SQLite has rolled back by itself (a full disk, an interrupt).
	s.release(s.control(context.Background(), "ROLLBACK") != nil)
}

// transient is never true: the one writer meets nobody.
func (e *sqliteEngine) transient(error) bool { return false }

func (e *sqliteEngine) close() error {
	// The writer is the last, so that it folds the log into the file.
	return errors.Join(e.readers.close(), e.writer.close())
}
