package access

import (
	"errors"
	"strings"
	"time"

	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/problem"
)

// insertOperator reports false when the name is taken.
func insertOperator(tx *db.Tx, p Person) (bool, error) {
	n, err := tx.Exec(`INSERT INTO operators (id, name, roles, tenant, partner, created_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0) ON CONFLICT (name) DO NOTHING`,
		p.ID, p.Name, join(p.Roles), p.Tenant, p.Partner, p.Created.Unix())
	return n == 1, err
}

func updateRoles(tx *db.Tx, p Person) error {
	_, err := tx.Exec(`UPDATE operators SET roles = $2 WHERE id = $1`, p.ID, join(p.Roles))
	return err
}

func endOperator(tx *db.Tx, id string) error {
	_, err := tx.Exec(`UPDATE operators SET ended_at = $2 WHERE id = $1 AND ended_at = 0`, id, tx.Now.Unix())
	return err
}

const selectOperators = `SELECT id, name, roles, tenant, partner, created_at, ended_at FROM operators `

type scanner interface{ Scan(dest ...any) error }

func scanOperator(row scanner) (Person, error) {
	var p Person
	var roles string
	var created, ended int64
	err := row.Scan(&p.ID, &p.Name, &roles, &p.Tenant, &p.Partner, &created, &ended)
	p.Roles, p.Created, p.Ended = split[Role](roles), instant(created), instant(ended)
	return p, err
}

// FindOperator finds an operator by id or name, ended ones too.
func FindOperator(tx *db.Tx, idOrName string) (Person, error) {
	p, err := scanOperator(tx.QueryRow(selectOperators+`WHERE id = $1 OR name = $1 ORDER BY CASE WHEN id = $1 THEN 0 ELSE 1 END`, idOrName))
	if errors.Is(err, db.ErrNoRows) {
		return Person{}, problem.New(problem.NotFound, OperatorUnknown, "name", idOrName)
	}
	return p, err
}

// Operators lists all operators by name, ended ones too.
func Operators(tx *db.Tx) ([]Person, error) {
	rows, err := tx.Query(selectOperators + `ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Person
	for rows.Next() {
		p, err := scanOperator(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func insertToken(tx *db.Tx, t Token, digest []byte) error {
	_, err := tx.Exec(`INSERT INTO tokens (id, digest, operator, scopes, created_at, expires_at, revoked_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0)`, t.ID, digest, t.Operator, join(t.Scopes), t.Created.Unix(), t.Expires.Unix())
	return err
}

func revokeToken(tx *db.Tx, id string) (known bool, err error) {
	n, err := tx.Exec(`UPDATE tokens SET revoked_at = CASE WHEN revoked_at = 0 THEN $2 ELSE revoked_at END WHERE id = $1`, id, tx.Now.Unix())
	return n == 1, err
}

const selectTokens = `SELECT id, digest, operator, scopes, created_at, expires_at, revoked_at FROM tokens `

func scanToken(row scanner) (t Token, digest []byte, err error) {
	var scopes string
	var created, expires, revoked int64
	err = row.Scan(&t.ID, &digest, &t.Operator, &scopes, &created, &expires, &revoked)
	t.Scopes, t.Created, t.Expires, t.Revoked = split[Permission](scopes), instant(created), instant(expires), instant(revoked)
	return t, digest, err
}

func tokenByDigest(tx *db.Tx, digest []byte) (t Token, kept []byte, known bool, err error) {
	t, kept, err = scanToken(tx.QueryRow(selectTokens+`WHERE digest = $1`, digest))
	if errors.Is(err, db.ErrNoRows) {
		return Token{}, nil, false, nil
	}
	return t, kept, err == nil, err
}

// Tokens lists the tokens of an operator, by its id, the newest first.
func Tokens(tx *db.Tx, operator string) ([]Token, error) {
	rows, err := tx.Query(selectTokens+`WHERE operator = $1 ORDER BY created_at DESC, id`, operator)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Token
	for rows.Next() {
		t, _, err := scanToken(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

func join[T ~string](words []T) string {
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w)
	}
	return strings.Join(text, " ")
}

func split[T ~string](text string) []T {
	var words []T
	for _, w := range strings.Fields(text) {
		words = append(words, T(w))
	}
	return words
}

// instant is the zero time for 0.
func instant(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
