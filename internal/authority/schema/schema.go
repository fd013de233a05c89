// Package schema has the authority's tables, once per engine, as migrations
// that only go forward. A table belongs to one room, whose store.go alone
// speaks to it.
package schema

import (
	"embed"
	"io/fs"

	"github.com/openesu/openesu/internal/db"
)

//go:embed sqlite/*.sql postgresql/*.sql
var files embed.FS

// Migrations are the authority's.
func Migrations() db.Migrations {
	return db.Migrations{SQLite: folder("sqlite"), PostgreSQL: folder("postgresql")}
}

func folder(name string) fs.FS {
	sub, err := fs.Sub(files, name)
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
