package db

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// InsertMany inserts rows into the columns of a table and returns how many. On
// PostgreSQL that is one statement, whatever the number of rows. Values are
// int64, string or []byte (or types made of these), the same kind down a column,
// and none is NULL. Table and columns are names from the program's text, never
// from outside.
func (tx *Tx) InsertMany(table string, columns []string, rows [][]any) (int64, error) {
	return tx.insertMany(table, columns, rows, "")
}

// InsertMissing is InsertMany that leaves out the rows whose key exists already,
// in the table or among the rows before, and returns how many were new.
func (tx *Tx) InsertMissing(table string, columns []string, rows [][]any) (int64, error) {
	return tx.insertMany(table, columns, rows, " ON CONFLICT DO NOTHING")
}

func (tx *Tx) insertMany(table string, columns []string, rows [][]any, conflict string) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	bound := make([][]any, len(rows))
	for i, row := range rows {
		var err error
		if bound[i], err = tx.bind(row); err == nil {
			err = sameKinds(bound[0], bound[i], len(columns))
		}
		if err != nil {
			return 0, tx.fail(fmt.Errorf("insert into %s: row %d: %w", table, i, err))
		}
	}
	into := "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ")"
	if tx.s.stmts != nil {
		return tx.insertEach(into, conflict, bound, len(columns))
	}
	return tx.insertArrays(into, conflict, bound, len(columns))
}

func sameKinds(first, row []any, width int) error {
	if len(row) != width {
		return fmt.Errorf("%d values for %d columns", len(row), width)
	}
	for j, v := range row {
		if v == nil || reflect.TypeOf(v) != reflect.TypeOf(first[j]) {
			return fmt.Errorf("value %d is a %T where the first row has a %T; none may be NULL", j+1, v, first[j])
		}
	}
	return nil
}

// insertEach is for SQLite, where a statement costs no round trip: one prepared
// statement, run for each row, is as fast as many rows in one VALUES.
func (tx *Tx) insertEach(into, conflict string, rows [][]any, width int) (int64, error) {
	places := make([]string, width)
	for j := range places {
		places[j] = "$" + strconv.Itoa(j+1)
	}
	query := into + " VALUES (" + strings.Join(places, ", ") + ")" + conflict
	var total int64
	for _, row := range rows {
		n, err := tx.exec(query, row)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// insertArrays is for PostgreSQL: one array for each column.
func (tx *Tx) insertArrays(into, conflict string, rows [][]any, width int) (int64, error) {
	args, arrays := make([]any, width), make([]string, width)
	for j := range width {
		kind := ""
		switch rows[0][j].(type) {
		case int64:
			args[j], kind = column[int64](rows, j), "BIGINT"
		case string:
			args[j], kind = column[string](rows, j), "TEXT"
		case []byte:
			args[j], kind = column[[]byte](rows, j), "BYTEA"
		}
		arrays[j] = fmt.Sprintf("$%d::%s[]", j+1, kind)
	}
	return tx.exec(into+" SELECT * FROM UNNEST("+strings.Join(arrays, ", ")+")"+conflict, args)
}

// column takes values of one kind, which sameKinds has seen to.
func column[T any](rows [][]any, j int) []T {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i] = row[j].(T) //nolint:forcetypeassert // documented
	}
	return values
}
