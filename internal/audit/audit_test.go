package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/problem"
)

var at = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)

// each runs a story on an empty database whose clock stands still.
func eachEngine(t *testing.T, story func(t *testing.T, d *db.DB)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		c.Now = func() time.Time { return at }
		story(t, dbtest.Open(t, c))
	})
}

func writer(t testing.TB, id string) *Writer {
	t.Helper()
	w, err := NewWriter(id)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// entry is the n-th thing that ann does.
func entry(n int) Entry {
	return Entry{
		Actor: access.LocalUser("ann"), Act: "order.place", Object: fmt.Sprintf("order/%d", n), Tenant: "customer-1",
		Detail: map[string]any{"seats": n, "total": "USD 50.00"},
	}
}

func fill(t testing.TB, d *db.DB, w *Writer, from, to int) {
	t.Helper()
	must(t, d, func(tx *db.Tx) error {
		var all []Entry
		for n := from; n <= to; n++ {
			all = append(all, entry(n))
		}
		return Append(tx, w, all...)
	})
}

func must(t testing.TB, d *db.DB, f func(tx *db.Tx) error) {
	t.Helper()
	if err := d.Write(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t testing.TB, d *db.DB) (c Checkpoint) {
	t.Helper()
	must(t, d, func(tx *db.Tx) (err error) {
		c, err = TakeCheckpoint(tx, "authority-1")
		return err
	})
	return c
}

// rewrite builds rows first to last of a chain anew, as an owner of the database
// would who knows this package, with what change makes of each, and moves the head.
func rewrite(t testing.TB, d *db.DB, id string, first, last int64, change func(*row)) {
	t.Helper()
	must(t, d, func(tx *db.Tx) error {
		var all []row
		if err := each(tx, Query{Tenant: access.All}, func(r row) error {
			if r.Writer == id {
				all = append(all, r)
			}
			return nil
		}); err != nil {
			return err
		}
		for i := first - 1; i < last; i++ {
			r := &all[i]
			change(r)
			if i > 0 {
				r.Previous = all[i-1].Hash
			}
			sum, err := r.sum()
			if err != nil {
				return err
			}
			r.Hash = sum
			if _, err := tx.Exec(`UPDATE audit SET previous = $3, hash = $4, object = $5 WHERE writer = $1 AND seq = $2`,
				id, r.Seq, r.Previous[:], r.Hash[:], r.Object); err != nil {
				return err
			}
		}
		if last == int64(len(all)) {
			return moveHead(tx, id, last, all[last-1].Hash)
		}
		return nil
	})
}

// Each case has a chain of ten rows to itself, with a checkpoint after row 8.
func TestVerify(t *testing.T) {
	cases := []struct {
		name     string
		tamper   []string  // statements; $1 is the writer
		detail   string    // of row 4
		from, to int64     // rows that are rewritten with their hashes
		want     []Finding // Writer is filled in
		// against is what is found with the checkpoint at hand, where that is more
		against []Finding
	}{
		{name: "untouched"},
		{name: "changed-actor", tamper: []string{`UPDATE audit SET actor = 'local/bob' WHERE writer = $1 AND seq = 4`}, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-act", tamper: []string{`UPDATE audit SET act = 'order.show' WHERE writer = $1 AND seq = 4`}, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-object", tamper: []string{`UPDATE audit SET object = 'order/9' WHERE writer = $1 AND seq = 1`}, want: []Finding{{Kind: Changed, First: 1, Last: 1}}},
		{name: "changed-tenant", tamper: []string{`UPDATE audit SET tenant = '' WHERE writer = $1 AND seq = 4`}, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-at", tamper: []string{`UPDATE audit SET at = at + 1 WHERE writer = $1 AND seq >= 4`}, want: []Finding{{Kind: Changed, First: 4, Last: 10}}},
		{name: "changed-detail", tamper: []string{`UPDATE audit SET detail = (SELECT a.detail FROM audit a WHERE a.writer = audit.writer AND a.seq = 5) WHERE writer = $1 AND seq = 10`}, want: []Finding{{Kind: Changed, First: 10, Last: 10}}},
		{name: "changed-space-in-detail", detail: `{"seats": 4,"total":"USD 50.00"}`, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-detail-to-no-json", detail: `{`, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-hash", tamper: []string{`UPDATE audit SET hash = previous WHERE writer = $1 AND seq = 4`}, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-and-hashed-anew", from: 4, to: 4, want: []Finding{{Kind: Changed, First: 4, Last: 4}}},
		{name: "changed-last-and-hashed-anew-without-head", from: 10, to: 10, tamper: []string{
			`UPDATE audit_heads SET hash = (SELECT previous FROM audit WHERE writer = audit_heads.writer AND seq = 10) WHERE writer = $1`,
		}, want: []Finding{{Kind: Changed, First: 10, Last: 10}}},
		{name: "changed-with-all-that-follows", from: 4, to: 10, against: []Finding{{Kind: Changed, First: 8, Last: 8}}},
		{name: "missing-one", tamper: []string{`DELETE FROM audit WHERE writer = $1 AND seq = 4`}, want: []Finding{{Kind: Missing, First: 4, Last: 4}}},
		{name: "missing-first", tamper: []string{`DELETE FROM audit WHERE writer = $1 AND seq <= 3`}, want: []Finding{{Kind: Missing, First: 1, Last: 3}}},
		{name: "missing-two-runs", tamper: []string{`DELETE FROM audit WHERE writer = $1 AND seq IN (3, 4, 8)`}, want: []Finding{{Kind: Missing, First: 3, Last: 4}, {Kind: Missing, First: 8, Last: 8}}},
		{name: "missing-and-renumbered", tamper: []string{
			`DELETE FROM audit WHERE writer = $1 AND seq = 4`,
			`UPDATE audit SET seq = -seq + 1 WHERE writer = $1 AND seq > 4`, `UPDATE audit SET seq = -seq WHERE writer = $1 AND seq < 0`,
		}, want: []Finding{{Kind: Reordered, First: 4, Last: 9}, {Kind: Truncated, First: 10, Last: 10}}},
		{name: "reordered-two", tamper: []string{
			`UPDATE audit SET seq = 100 WHERE writer = $1 AND seq = 4`,
			`UPDATE audit SET seq = 4 WHERE writer = $1 AND seq = 7`,
			`UPDATE audit SET seq = 7 WHERE writer = $1 AND seq = 100`,
		}, want: []Finding{{Kind: Reordered, First: 4, Last: 4}, {Kind: Reordered, First: 7, Last: 7}}},
		{name: "truncated", tamper: []string{`DELETE FROM audit WHERE writer = $1 AND seq > 8`}, want: []Finding{{Kind: Truncated, First: 9, Last: 10}}},
		{name: "truncated-to-nothing", tamper: []string{`DELETE FROM audit WHERE writer = $1`}, want: []Finding{{Kind: Truncated, First: 1, Last: 10}}},
		{name: "truncated-with-head", tamper: []string{
			`DELETE FROM audit WHERE writer = $1 AND seq > 5`,
			`UPDATE audit_heads SET seq = 5, hash = (SELECT hash FROM audit WHERE writer = audit_heads.writer AND seq = 5) WHERE writer = $1`,
		}, against: []Finding{{Kind: Truncated, First: 6, Last: 8}}},
		{name: "truncated-without-a-trace", tamper: []string{`DELETE FROM audit WHERE writer = $1`, `DELETE FROM audit_heads WHERE writer = $1`},
			against: []Finding{{Kind: Truncated, First: 1, Last: 8}}},
		{name: "added", tamper: []string{`UPDATE audit_heads SET seq = 8, hash = (SELECT hash FROM audit WHERE writer = audit_heads.writer AND seq = 8) WHERE writer = $1`},
			want: []Finding{{Kind: Added, First: 9, Last: 10}}},
		{name: "added-before-the-first", tamper: []string{
			`INSERT INTO audit SELECT writer, 0, previous, hash, at, actor, act, object, tenant, detail FROM audit WHERE writer = $1 AND seq = 1`,
		}, want: []Finding{{Kind: Added, First: 0, Last: 0}}},
		{name: "head-gone", tamper: []string{`DELETE FROM audit_heads WHERE writer = $1`}, want: []Finding{{Kind: Added, First: 1, Last: 10}}},
	}
	eachEngine(t, func(t *testing.T, d *db.DB) {
		for _, tc := range cases {
			fill(t, d, writer(t, tc.name), 1, 8)
		}
		kept := checkpoint(t, d)
		for _, tc := range cases {
			fill(t, d, writer(t, tc.name), 9, 10)
		}
		whole, err := Verify(t.Context(), d, kept)
		if err != nil || whole.Err() != nil || whole.Rows != int64(10*len(cases)) || whole.Chains != len(cases) {
			t.Fatalf("before: %+v, %v", whole, err)
		}
		for _, tc := range cases {
			if tc.from > 0 {
				rewrite(t, d, tc.name, tc.from, tc.to, func(r *row) { r.Object += "0" })
			}
			if tc.detail != "" {
				must(t, d, func(tx *db.Tx) error {
					_, err := tx.Exec(`UPDATE audit SET detail = $2 WHERE writer = $1 AND seq = 4`, tc.name, []byte(tc.detail))
					return err
				})
			}
			for _, statement := range tc.tamper {
				must(t, d, func(tx *db.Tx) error {
					n, err := tx.Exec(statement, tc.name)
					if err == nil && n == 0 {
						err = errors.New("nothing was changed by " + statement)
					}
					return err
				})
			}
		}
		alone, err := Verify(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		against, err := Verify(t.Context(), d, kept)
		if err != nil {
			t.Fatal(err)
		}
		if problem.CodeOf(alone.Err()) != Broken {
			t.Errorf("told as %v", alone.Err())
		}
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				want := tc.want
				if diff := cmp.Diff(named(want, tc.name), of(alone, tc.name)); diff != "" {
					t.Errorf("alone (-want +got):\n%s", diff)
				}
				if len(tc.against) > 0 {
					want = tc.against
				}
				if diff := cmp.Diff(named(want, tc.name), of(against, tc.name)); diff != "" {
					t.Errorf("against the checkpoint (-want +got):\n%s", diff)
				}
			})
		}
	})
}

func named(all []Finding, writer string) []Finding {
	var filled []Finding
	for _, f := range all {
		f.Writer = writer
		filled = append(filled, f)
	}
	return filled
}

func of(r Report, writer string) []Finding {
	var own []Finding
	for _, f := range r.Findings {
		if f.Writer == writer {
			own = append(own, f)
		}
	}
	return own
}

// Rows are there exactly when what they tell has happened.
func TestRolledBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, d *db.DB) {
		w := writer(t, "one")
		fill(t, d, w, 1, 2)
		if err := d.Write(t.Context(), func(tx *db.Tx) error {
			return errors.Join(Append(tx, w, entry(3)), errors.New("no"))
		}); err == nil {
			t.Fatal("committed")
		}
		fill(t, d, w, 4, 4)
		must(t, d, func(tx *db.Tx) error { return Append(tx, w) })
		report, err := Verify(t.Context(), d)
		if err != nil || report.Err() != nil || report.Rows != 3 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// Two writers at the same time each keep their chain, and one chain that is
// written by several is locked by each in turn.
func TestConcurrentWriters(t *testing.T) {
	eachEngine(t, func(t *testing.T, d *db.DB) {
		var all sync.WaitGroup
		for i := range 6 {
			all.Go(func() {
				w := writer(t, fmt.Sprintf("writer-%d", i%2))
				for n := range 5 {
					if err := d.Write(context.Background(), func(tx *db.Tx) error { return Append(tx, w, entry(n), entry(n)) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		report, err := Verify(t.Context(), d)
		if err != nil || report.Err() != nil || report.Rows != 60 || report.Chains != 2 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// What an exported line holds is what was hashed, so that others can check it.
func TestExport(t *testing.T) {
	eachEngine(t, func(t *testing.T, d *db.DB) {
		w := writer(t, "one")
		must(t, d, func(tx *db.Tx) error {
			other := entry(2)
			other.Tenant, other.Detail = "customer-2", nil
			own := entry(3)
			own.Tenant, own.Detail = "", []string{"b", "a", "<é>"}
			return Append(tx, w, entry(1), other, own)
		})
		lines := func(q Query) []string {
			t.Helper()
			var out bytes.Buffer
			if err := Export(t.Context(), d, q, &out); err != nil {
				t.Fatal(err)
			}
			return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		}
		all := lines(Query{Tenant: access.All})
		if len(all) != 3 {
			t.Fatalf("%d lines", len(all))
		}
		previous := Hash{}.String()
		for _, text := range all {
			var members map[string]json.RawMessage
			if err := json.Unmarshal([]byte(text), &members); err != nil {
				t.Fatal(err)
			}
			var hash, before string
			if err := errors.Join(json.Unmarshal(members["hash"], &hash), json.Unmarshal(members["previous"], &before)); err != nil {
				t.Fatal(err)
			}
			bare := strings.Replace(text, `"hash":"`+hash+`",`, "", 1)
			if sum := Hash(sha256.Sum256([]byte(bare))); sum.String() != hash || before != previous {
				t.Errorf("%s\nhas hash %s after %s", text, sum, previous)
			}
			previous = hash
		}
		if want := `{"act":"order.place","actor":"local/ann","at":1583064000,"detail":["b","a","<é>"],"hash":"`; !strings.HasPrefix(all[2], want) {
			t.Errorf("line reads %s", all[2])
		}
		for name, tc := range map[string]struct {
			q    Query
			want []string
		}{
			"nobody":      {Query{}, []string{""}},
			"a customer":  {Query{Tenant: "customer-2"}, all[1:2]},
			"an object":   {Query{Tenant: access.All, Object: "order/1"}, all[:1]},
			"not another": {Query{Tenant: "customer-2", Object: "order/1"}, []string{""}},
			"from now":    {Query{Tenant: access.All, From: at}, all},
			"before now":  {Query{Tenant: access.All, Until: at}, []string{""}},
		} {
			if diff := cmp.Diff(tc.want, lines(tc.q)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	})
}

func TestCheckpoint(t *testing.T) {
	seed := sha256.Sum256([]byte("checkpoint"))
	private := ed25519.NewKeyFromSeed(seed[:])
	public := private.Public().(ed25519.PublicKey)
	find := func(kid string) ed25519.PublicKey {
		if kid == "k1" {
			return public
		}
		return nil
	}
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		c.Now = func() time.Time { return at }
		d := dbtest.Open(t, c)
		fill(t, d, writer(t, "one"), 1, 3)
		fill(t, d, writer(t, "a-1"), 1, 1)
		fill(t, d, writer(t, "a.2"), 1, 1)
		taken := checkpoint(t, d)
		if len(taken.Heads) != 3 || taken.Heads[2].Seq != 3 || taken.Time() != at {
			t.Errorf("took %+v", taken)
		}
		text, err := SignCheckpoint(taken, "k1", jws.InMemory(private))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := OpenCheckpoint(text, find)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(taken, opened); diff != "" {
			t.Error(diff)
		}
		forged, err := SignCheckpoint(taken, "k2", jws.InMemory(private))
		if err != nil {
			t.Fatal(err)
		}
		other, err := jws.Sign("esu-license+jwt", "k1", taken, jws.InMemory(private))
		if err != nil {
			t.Fatal(err)
		}
		head, tail, _ := strings.Cut(text, ".")
		for name, tc := range map[string]struct {
			text string
			code problem.Code
		}{
			"nothing":          {"", CheckpointMalformed},
			"another kind":     {other, CheckpointMalformed},
			"an unknown key":   {forged, CheckpointSignature},
			"another document": {head + ".e30" + tail[strings.Index(tail, "."):], CheckpointSignature},
		} {
			if _, err := OpenCheckpoint(tc.text, find); problem.CodeOf(err) != tc.code {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	for _, payload := range []string{
		`{}`, `null`, `{"iss":"a","iat":0,"heads":[]}`, `{"iss":"","iat":1,"heads":[]}`, `{"iss":"a","iat":1}`,
		`{"iss":"a","iat":1,"heads":[{"writer":"","seq":1,"hash":"` + strings.Repeat("00", 32) + `"}]}`,
		`{"iss":"a","iat":1,"heads":[{"writer":"a","seq":-1,"hash":"` + strings.Repeat("00", 32) + `"}]}`,
		`{"iss":"a","iat":1,"heads":[{"writer":"a","seq":1,"hash":"` + strings.Repeat("0A", 32) + `"}]}`,
		`{"iss":"a","iat":1,"heads":[{"writer":"a","seq":1,"hash":"00"}]}`,
	} {
		if c, err := readCheckpoint([]byte(payload)); err == nil {
			t.Errorf("%s reads as %+v", payload, c)
		}
	}
}

func FuzzReadCheckpoint(f *testing.F) {
	f.Add([]byte(`{"iss":"a","iat":1,"heads":[{"writer":"a","seq":1,"hash":"` + strings.Repeat("0a", 32) + `"}]}`))
	f.Add([]byte(`{"iss":"a","iat":1,"heads":[]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, err := readCheckpoint(payload)
		if err != nil {
			return
		}
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := readCheckpoint(text)
		if err != nil || !cmp.Equal(c, again) {
			t.Errorf("%s\nbecomes %s: %v", payload, text, err)
		}
	})
}

func TestNewWriter(t *testing.T) {
	for _, id := range []string{"", "A", "a b", "-a", strings.Repeat("a", 65)} {
		if _, err := NewWriter(id); err == nil {
			t.Errorf("%q is taken", id)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	d := dbtest.Open(b, db.Config{Path: b.TempDir() + "/esu.db", Migrations: schema.Migrations()})
	w := writer(b, "one")
	all := make([]Entry, 100)
	for i := range all {
		all[i] = entry(i)
	}
	for b.Loop() {
		must(b, d, func(tx *db.Tx) error { return Append(tx, w, all...) })
	}
}
