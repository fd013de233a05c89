package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/openesu/openesu/problem"
)

// versionTable is goose's record of what has run.
const versionTable = "db_version"

// migrationLock is the advisory lock under which PostgreSQL is migrated: "esu" in
// ASCII, and nothing else of this program takes advisory locks.
const migrationLock = 0x657375

// leaseTable is the table behind DB.Lease, as PostgreSQL spells it.
const leaseTable = `CREATE TABLE IF NOT EXISTS db_lease (
	name TEXT NOT NULL PRIMARY KEY,
	holder TEXT NOT NULL,
	expires BIGINT NOT NULL
)`

// Migrate brings the schema to what this program needs, and says from which
// version to which. It never goes back: a schema that is ahead is storage.newer.
// It is safe to run twice and at the same time; each migration is one transaction.
func Migrate(ctx context.Context, c Config) (from, to int64, err error) {
	if (c.Path == "") == (c.URL == "") {
		return 0, 0, errors.New("migrate: give either a path or a URL")
	}
	if c.Path != "" {
		pool, err := openSQLiteWriter(c.Path)
		if err != nil {
			return 0, 0, err
		}
		pool.SetMaxOpenConns(1)
		defer func() { err = errors.Join(err, pool.Close()) }()
		return migrate(ctx, pool, goose.DialectSQLite3, c.Migrations.SQLite)
	}
	pool, err := openPostgresPool(ctx, c)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	// The lock belongs to the connection and ends with it, also in a crash.
	conn, err := pool.Conn(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return 0, 0, fmt.Errorf("migrate: wait for another migration: %w", err)
	}
	return migrate(ctx, pool, goose.DialectPostgres, c.Migrations.PostgreSQL)
}

func migrate(ctx context.Context, pool *sql.DB, dialect goose.Dialect, files fs.FS) (from, to int64, err error) {
	p, err := provider(pool, dialect, files)
	if err != nil {
		return 0, 0, err
	}
	from, err = version(ctx, pool, dialect)
	if err != nil {
		return 0, 0, err
	}
	to = target(p)
	if from > to {
		return from, to, problem.New(problem.Refused, Newer, "have", from, "want", to)
	}
	lease := leaseTable
	if dialect == goose.DialectSQLite3 {
		lease = strings.ReplaceAll(lease, "BIGINT", "INTEGER") + " STRICT"
	}
	if _, err := pool.ExecContext(ctx, lease); err != nil {
		return from, from, fmt.Errorf("migrate: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return from, from, fmt.Errorf("migrate from version %d: %w", from, err)
	}
	return from, to, nil
}

// checkVersion compares without changing anything.
func checkVersion(ctx context.Context, pool *sql.DB, m Migrations) error {
	p, err := provider(pool, goose.DialectPostgres, m.PostgreSQL)
	if err != nil {
		return err
	}
	have, err := version(ctx, pool, goose.DialectPostgres)
	if err != nil {
		return err
	}
	want := target(p)
	switch {
	case have < want:
		return problem.New(problem.Refused, MigrateFirst, "have", have, "want", want)
	case have > want:
		return problem.New(problem.Refused, Newer, "have", have, "want", want)
	}
	return nil
}

func provider(pool *sql.DB, dialect goose.Dialect, files fs.FS) (*goose.Provider, error) {
	p, err := goose.NewProvider(dialect, pool, files, goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, nil
}

// target is the newest version that this program knows.
func target(p *goose.Provider) int64 {
	sources := p.ListSources() // ascending, never empty
	return sources[len(sources)-1].Version
}

// version is the newest version that the database has, 0 for an empty one. goose's
// own question would make the table.
func version(ctx context.Context, pool *sql.DB, dialect goose.Dialect) (int64, error) {
	exists := "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '" + versionTable + "'"
	if dialect == goose.DialectPostgres {
		exists = "SELECT COUNT(to_regclass('" + versionTable + "'))"
	}
	var n, v int64
	if err := pool.QueryRowContext(ctx, exists).Scan(&n); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if n == 0 {
		return 0, nil
	}
	if err := pool.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), 0) FROM "+versionTable).Scan(&v); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	return v, nil
}
