package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"crypto/rand"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/audit"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

var at = time.Date(2030, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	owner   = access.LocalUser("ann")
	own     = access.Actor{Kind: access.Operator, ID: "op-own", Roles: []access.Role{access.CustomerAdministrator}, Tenant: "c1"}
	another = access.Actor{Kind: access.Operator, ID: "op-other", Roles: []access.Role{access.CustomerAdministrator}, Tenant: "c2"}
	manager = access.Actor{Kind: access.Operator, ID: "op-keys", Roles: []access.Role{access.KeyManager}, Tenant: access.All}
)

// office is a database with two customers and a keyring.
type office struct {
	*testing.T
	db      *db.DB
	sealing string // path
	ring    *Ring
}

func each(t *testing.T, story func(o *office)) {
	t.Helper()
	dbtest.EachConfig(t, schema.Migrations(), func(t *testing.T, c db.Config) {
		c.Now = func() time.Time { return at }
		o := &office{T: t, db: dbtest.Open(t, c), sealing: filepath.Join(t.TempDir(), "sealing")}
		if err := NewSealingKey(o.sealing, rand.Reader); err != nil {
			t.Fatal(err)
		}
		w, err := audit.NewWriter("test")
		if err != nil {
			t.Fatal(err)
		}
		vault, err := o.vault(o.sealing)
		if err != nil {
			t.Fatal(err)
		}
		o.ring = New(Config{DB: o.db, Audit: w, Vault: vault})
		o.must(func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO customers (id, name, folded, created_at) VALUES ('c1', 'One', 'one', 0), ('c2', 'Two', 'two', 0)`)
			return err
		})
		story(o)
		report, err := audit.Verify(t.Context(), o.db)
		if err = errors.Join(err, report.Err()); err != nil || report.Rows == 0 {
			t.Errorf("audit: %+v, %v", report, err)
		}
	})
}

func (o *office) vault(path string) (*Vault, error) {
	sealing, err := SealingKey(path)
	if err != nil {
		return nil, err
	}
	return OpenVault(o.Context(), o.db, sealing)
}

func (o *office) must(f func(tx *db.Tx) error) {
	o.Helper()
	if err := o.db.Write(o.Context(), f); err != nil {
		o.Fatal(err)
	}
}

// seats changes the keys of a customer's one track; years count from 1.
func (o *office) seats(customer access.Tenant, allowance int, byYear ...int) []Key {
	o.Helper()
	var changes []Change
	for i, n := range byYear {
		changes = append(changes, Change{Year: program.Year(i + 1), Tag: program.Tag(i + 7), Seats: n, Allow: allowance})
	}
	var keys []Key
	o.must(func(tx *db.Tx) (err error) {
		keys, err = o.ring.Seats(tx, owner, customer, "harbor", "harbor-5", changes)
		return err
	})
	return keys
}

func (o *office) refused(code problem.Code, err error) {
	o.Helper()
	if problem.CodeOf(err) != code {
		o.Errorf("got %v, want %s", err, code)
	}
}

func (o *office) find(id KeyID) (k Key) {
	o.Helper()
	o.must(func(tx *db.Tx) (err error) {
		k, err = Find(tx, access.All, id)
		return err
	})
	return k
}

// acts are the audit rows of an object, without their hashes.
func (o *office) acts(object string) []string {
	o.Helper()
	var out bytes.Buffer
	if err := audit.Export(o.Context(), o.db, audit.Query{Tenant: access.All, Object: object}, &out); err != nil {
		o.Fatal(err)
	}
	var acts []string
	for text := range strings.Lines(out.String()) {
		var row struct{ Act, Actor string }
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			o.Fatal(err)
		}
		acts = append(acts, row.Act+" by "+row.Actor)
	}
	return acts
}

func TestOneKeyAYear(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		first := o.seats("c1", 0, 10, 4)
		again := o.seats("c1", 5, 3, 0)
		// rule K1
		for i := range first {
			if first[i].ID != again[i].ID || first[i].Ref != again[i].Ref {
				t.Errorf("year %d has two keys", i+1)
			}
		}
		// rule K5
		if k := first[0]; k.Limit() != 10 || k.Remaining() != 10 {
			t.Errorf("limit %d, remaining %d", k.Limit(), k.Remaining())
		}
		if k := again[0]; k.Seats != 13 || k.Limit() != 18 {
			t.Errorf("after more seats: %+v", k)
		}
		if lower := o.seats("c1", 0, -3)[0]; lower.Limit() != 15 {
			t.Errorf("after a return: limit %d", lower.Limit())
		}
		if none := o.seats("c1", 0, -10)[0]; none.Limit() != 0 || none.Remaining() != 0 {
			t.Errorf("all returned: limit %d", none.Limit())
		}
		other := o.seats("c2", 0, 1)
		if other[0].Ref == first[0].Ref || first[0].Ref == first[1].Ref {
			t.Error("one key for two")
		}
		secret, err := o.ring.Reveal(t.Context(), own, first[1].ID)
		if err != nil {
			t.Fatal(err)
		}
		if secret.Tag() != productkey.Tag(8) || secret.Ref() != first[1].Ref || secret.LastFive() != first[1].LastFive {
			t.Errorf("key %s has tag %d", secret, secret.Tag())
		}
		err = o.db.Write(t.Context(), func(tx *db.Tx) error {
			_, err := o.ring.Seats(tx, owner, "c2", "harbor", "harbor-5", []Change{{Year: 1, Tag: 7, Seats: -2}})
			return err
		})
		if !db.CheckViolation(err) {
			t.Errorf("seats below nothing: %v", err)
		}
	})
}

// Reading whom the keys belong to, and how much is left, is open to the customer's
// administrator and to the vendor at any time.
func TestList(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		mine := o.seats("c1", 0, 10, 4)
		theirs := o.seats("c2", 0, 3)
		o.must(func(tx *db.Tx) error {
			if _, err := Lock(tx, mine[0].ID); err != nil {
				return err
			}
			_, err := Count(tx, mine[0].ID, 6)
			return err
		})
		// rule K8
		list := func(actor access.Actor, f Filter) []Key {
			t.Helper()
			keys, err := o.ring.List(t.Context(), actor, f)
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		keys := list(own, Filter{})
		if len(keys) != 2 || keys[0].Limit() != 10 || keys[0].Used != 6 || keys[0].Remaining() != 4 {
			t.Errorf("the administrator sees %+v", keys)
		}
		for name, tc := range map[string]struct {
			actor access.Actor
			f     Filter
			want  []KeyID
		}{
			"vendor":                {manager, Filter{}, []KeyID{mine[0].ID, mine[1].ID, theirs[0].ID}},
			"vendor, one customer":  {manager, Filter{Customer: "c2"}, []KeyID{theirs[0].ID}},
			"page":                  {manager, Filter{Limit: 1, After: mine[0].ID}, []KeyID{mine[1].ID}},
			"last page":             {manager, Filter{After: theirs[0].ID}, nil},
			"last five":             {manager, Filter{LastFive: mine[1].LastFive}, []KeyID{mine[1].ID}},
			"another administrator": {another, Filter{}, []KeyID{theirs[0].ID}},
			"not another's":         {another, Filter{Customer: "c1"}, nil},
			"narrowed":              {manager.For("c2"), Filter{}, []KeyID{theirs[0].ID}},
			"other track":           {manager, Filter{Track: "harbor-kiosk"}, nil},
		} {
			var ids []KeyID
			for _, k := range list(tc.actor, tc.f) {
				ids = append(ids, k.ID)
			}
			if diff := cmp.Diff(tc.want, ids); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		_, err := o.ring.List(t.Context(), access.Actor{Tenant: "c1"}, Filter{})
		o.refused(access.AskAdministrator, err)
		_, err = o.ring.List(t.Context(), access.Actor{Roles: []access.Role{access.Publisher}, Tenant: access.All}, Filter{})
		o.refused(access.Forbidden, err)

		o.must(func(tx *db.Tx) error {
			found, ok, err := FindRef(tx, access.All, theirs[0].Ref)
			_, okOther, err2 := FindRef(tx, "c1", theirs[0].Ref)
			_, okNone, err3 := FindRef(tx, access.All, productkey.Ref{})
			if !ok || found.ID != theirs[0].ID || okOther || okNone {
				t.Errorf("by reference: %v %v %v %v", found.ID, ok, okOther, okNone)
			}
			return errors.Join(err, err2, err3)
		})
	})
}

func TestNames(t *testing.T) {
	names := program.KeyNames{Portal: "Harbor Year 1", Tool: "Add-on"}
	p := &program.Program{Public: program.Public{Tracks: []program.Track{{ID: "harbor-5", Years: []program.CoverageYear{{Year: 1, Key: names}}}}}}
	// rule K20
	if got := (Key{Track: "harbor-5", Year: 1}).Names(p); got != names {
		t.Errorf("names %+v", got)
	}
	if got := (Key{Track: "harbor-5", Year: 2}).Names(p); got != (program.KeyNames{}) {
		t.Errorf("names of no year %+v", got)
	}
}

func TestReveal(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		k := o.seats("c1", 0, 1)[0]
		_, err := o.ring.Reveal(t.Context(), another, k.ID)
		o.refused(KeyUnknown, err)
		_, err = o.ring.Reveal(t.Context(), access.Actor{Roles: []access.Role{access.Sales}, Tenant: access.All}, k.ID)
		o.refused(access.Forbidden, err)
		secret, err := o.ring.Reveal(t.Context(), manager, k.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"key.issue by local/ann", "key.reveal by operator/op-keys"}, o.acts("key/"+string(k.ID))); diff != "" {
			t.Error(diff)
		}
		// No audit row, log line or document has it.
		var out bytes.Buffer
		if err := audit.Export(t.Context(), o.db, audit.Query{Tenant: access.All}, &out); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		mac, err := o.ring.MAC(k)
		if err != nil {
			t.Fatal(err)
		}
		shown := out.String() + string(text) + fmt.Sprintf("%+v %#v %+v %+v", k, k, o.ring.vault, &o.ring.macs)
		raw := mac.Reveal()
		for _, hidden := range []string{secret.Reveal(), secret.Reveal()[:23], string(raw[:]), fmt.Sprintf("%x", raw)} {
			if strings.Contains(shown, hidden) {
				t.Errorf("shown: %s", shown)
			}
		}
	})
}

func TestSealedKeys(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		keys := append(o.seats("c1", 0, 2, 1), o.seats("c2", 0, 1)...)
		secret, err := o.ring.Reveal(t.Context(), owner, keys[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if bytes.Contains(o.find(k.ID).sealed, []byte(secret.Reveal()[:5])) {
				t.Error("not sealed")
			}
		}

		// Without the sealing key nothing opens; with it a second process opens all.
		other := filepath.Join(t.TempDir(), "other")
		if err := NewSealingKey(other, rand.Reader); err != nil {
			t.Fatal(err)
		}
		_, err = o.vault(other)
		o.refused(SealingKeyWrong, err)
		vault, err := o.vault(o.sealing)
		if err != nil {
			t.Fatal(err)
		}
		second := New(Config{DB: o.db, Audit: o.ring.audit, Vault: vault})
		if again, err := second.Reveal(t.Context(), owner, keys[0].ID); err != nil || again != secret {
			t.Errorf("%s, %v", again, err)
		}

		// A sealed key opens at its own row and at no other.
		for _, names := range [][]any{
			{"c2", "harbor", "harbor-5", program.Year(1), keys[0].ID}, {"c1", "harbor", "harbor-6", program.Year(1), keys[0].ID},
			{"c1", "harbor", "harbor-5", program.Year(2), keys[0].ID}, {"c1", "harbor", "harbor-5", program.Year(1), keys[1].ID},
			{"c1", "haven", "harbor-5", program.Year(1), keys[0].ID}, {"c1harbor", "", "harbor-5", program.Year(1), keys[0].ID},
		} {
			if _, err := vault.Open(keys[0].sealed, sealPurpose, names...); err == nil {
				t.Errorf("opens as %v", names)
			}
		}
		if _, err := vault.Open(keys[0].sealed, "other", keys[0].sealNames()...); err == nil {
			t.Error("opens for another purpose")
		}
		o.must(func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE product_keys SET sealed = (SELECT k.sealed FROM product_keys k WHERE k.id = $2) WHERE id = $1`, keys[0].ID, keys[1].ID)
			return err
		})
		_, err = second.Reveal(t.Context(), owner, keys[0].ID)
		o.refused(KeyDamaged, err)
		_, err = second.MAC(o.find(keys[0].ID))
		o.refused(KeyDamaged, err)
		// Nor with a reference that is not its own.
		o.must(func(tx *db.Tx) error {
			_, err := tx.Exec(`UPDATE product_keys SET ref = $2 WHERE id = $1`, keys[2].ID, make([]byte, 16))
			return err
		})
		_, err = second.MAC(o.find(keys[2].ID))
		o.refused(KeyDamaged, err)
	})
}

func TestSealingKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealing")
	if _, err := SealingKey(path); problem.CodeOf(err) != SealingKeyMissing {
		t.Errorf("missing: %v", err)
	}
	if err := NewSealingKey(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := NewSealingKey(path, rand.Reader); problem.CodeOf(err) != SealingKeyExists {
		t.Errorf("twice: %v", err)
	}
	if _, err := SealingKey(path); err != nil {
		t.Error(err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := SealingKey(path); problem.CodeOf(err) != SealingKeyExposed {
			t.Errorf("exposed: %v", err)
		}
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		if _, err := SealingKey(path); err != nil {
			t.Errorf("a credential: %v", err)
		}
	}
	for _, text := range []string{"", "x", sealingPrefix, sealingPrefix + "AAAA", strings.Repeat("A", 43)} {
		path := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := SealingKey(path); problem.CodeOf(err) != SealingKeyMalformed {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestMACs(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		o.ring.macs.limit = 2
		keys := o.seats("c1", 0, 3, 2, 1)
		for range 2 {
			for _, k := range keys {
				secret, err := o.ring.Reveal(t.Context(), owner, k.ID)
				if err != nil {
					t.Fatal(err)
				}
				mac, err := o.ring.MAC(k)
				if err != nil || mac != secret.MAC() {
					t.Errorf("MAC of year %d: %v", k.Year, err)
				}
				if again, err := o.ring.MAC(Key{ID: k.ID}); err != nil || again != mac {
					t.Errorf("not remembered: %v", err)
				}
				if n := len(o.ring.macs.byID); n > 2 {
					t.Errorf("%d remembered", n)
				}
			}
		}
	})
}

func TestRaise(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		k := o.seats("c1", 0, 10)[0]
		// rule K6
		q, err := o.ring.Ask(t.Context(), own, AskIn{Key: k.ID, Wanted: 5, Reason: " reinstalled ", Region: "EMEA", Contact: "it@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if o.find(k.ID).Limit() != 10 {
			t.Error("raised by asking")
		}
		_, _, err = o.ring.Decide(t.Context(), own, q.ID, 5, "yes")
		o.refused(access.Forbidden, err)
		decided, raised, err := o.ring.Decide(t.Context(), manager, q.ID, 4, "four are enough")
		if err != nil || raised.Limit() != 14 {
			t.Fatalf("limit %d, %v", raised.Limit(), err)
		}
		_, _, err = o.ring.Decide(t.Context(), manager, q.ID, 4, "again")
		o.refused(RequestDecided, err)
		if o.find(k.ID).Limit() != 14 {
			t.Error("raised twice")
		}
		want := Request{
			ID: q.ID, Key: k.ID, Kind: ToRaise, State: IsGranted, Wanted: 5, Granted: 4, Reason: "reinstalled", Region: "EMEA", Contact: "it@example.com",
			AskedAt: at, AskedBy: "operator/op-own", DecidedAt: at, DecidedBy: "operator/op-keys", Decision: "four are enough",
		}
		if diff := cmp.Diff(want, decided); diff != "" {
			t.Error(diff)
		}
		second, err := o.ring.Ask(t.Context(), own, AskIn{Key: k.ID, Wanted: 1, Reason: "one more"})
		if err != nil {
			t.Fatal(err)
		}
		if _, k, err := o.ring.Decide(t.Context(), manager, second.ID, 0, "no"); err != nil || k.Limit() != 14 {
			t.Errorf("refused: limit %d, %v", k.Limit(), err)
		}
		direct, err := o.ring.Raise(t.Context(), manager, k.ID, 2, "called us")
		if err != nil || direct.Limit() != 16 {
			t.Errorf("limit %d, %v", direct.Limit(), err)
		}
		all, err := o.ring.Requests(t.Context(), own, k.ID, "")
		if err != nil {
			t.Fatal(err)
		}
		states := map[RequestState]int{}
		for _, q := range all {
			states[q.State]++
		}
		if diff := cmp.Diff(map[RequestState]int{IsGranted: 2, IsRefused: 1}, states); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{
			"key.issue by local/ann", "limit.ask by operator/op-own", "limit.grant by operator/op-keys", "limit.ask by operator/op-own",
			"limit.refuse by operator/op-keys", "limit.grant by operator/op-keys",
		}, o.acts("key/"+string(k.ID))); diff != "" {
			t.Error(diff)
		}

		if theirs, err := o.ring.Requests(t.Context(), another, "", ""); err != nil || len(theirs) != 0 {
			t.Errorf("others see %v, %v", theirs, err)
		}
		for name, tc := range map[string]struct {
			code problem.Code
			do   func() error
		}{
			"another's key": {KeyUnknown, func() error {
				_, err := o.ring.Ask(t.Context(), another, AskIn{Key: k.ID, Wanted: 1, Reason: "x"})
				return err
			}},
			"no reason": {ReasonMissing, func() error {
				_, err := o.ring.Ask(t.Context(), own, AskIn{Key: k.ID, Wanted: 1, Reason: " "})
				return err
			}},
			"nothing wanted":      {RaiseBad, func() error { _, err := o.ring.Ask(t.Context(), own, AskIn{Key: k.ID, Reason: "x"}); return err }},
			"by nothing":          {RaiseBad, func() error { _, err := o.ring.Raise(t.Context(), manager, k.ID, 0, "x"); return err }},
			"by too much":         {RaiseBad, func() error { _, err := o.ring.Raise(t.Context(), manager, k.ID, maxSeats, "x"); return err }},
			"not by the asker":    {access.Forbidden, func() error { _, err := o.ring.Raise(t.Context(), own, k.ID, 1, "x"); return err }},
			"no such request":     {RequestUnknown, func() error { _, _, err := o.ring.Decide(t.Context(), manager, "limit-0", 1, "x"); return err }},
			"decided without why": {ReasonMissing, func() error { _, _, err := o.ring.Decide(t.Context(), manager, q.ID, 1, ""); return err }},
		} {
			if err := tc.do(); problem.CodeOf(err) != tc.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.seats("c1", 0, -10)
		_, err = o.ring.Raise(t.Context(), manager, k.ID, 1, "x")
		o.refused(NothingBought, err)
	})
}

func TestSettle(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		k := o.seats("c1", 2, 10)[0]
		settle := func(actor access.Actor, ordered int) (k2 Key, err error) {
			err = o.db.Write(t.Context(), func(tx *db.Tx) (err error) {
				k2, err = o.ring.Settle(tx, actor, k.ID, ordered, "shows too few")
				return err
			})
			return k2, err
		}
		// rule K18
		if fixed, err := settle(own, 12); err != nil || fixed.Seats != 12 || fixed.Limit() != 14 || fixed.Raised != 0 {
			t.Errorf("%+v, %v", fixed, err)
		}
		_, err := settle(own, 12)
		o.refused(NothingToCorrect, err)
		_, err = settle(own, 11)
		o.refused(NothingToCorrect, err)
		_, err = settle(another, 20)
		o.refused(KeyUnknown, err)
		if seats := o.find(k.ID).Seats; seats != 12 {
			t.Errorf("%d seats", seats)
		}
		all, err := o.ring.Requests(t.Context(), own, "", "")
		if err != nil {
			t.Fatal(err)
		}
		want := []Request{
			{Key: k.ID, Kind: ToCorrect, State: IsGranted, Wanted: 2, Granted: 2, Reason: "shows too few", Decision: "ordered 12"},
			{Key: k.ID, Kind: ToCorrect, State: IsRefused, Reason: "shows too few", Decision: "ordered 12"},
			{Key: k.ID, Kind: ToCorrect, State: IsRefused, Reason: "shows too few", Decision: "ordered 11"},
		}
		if diff := cmp.Diff(want, all, cmpopts.IgnoreFields(Request{}, "ID", "AskedAt", "AskedBy", "DecidedAt", "DecidedBy"),
			cmpopts.SortSlices(func(a, b Request) bool { return fmt.Sprint(a.State, b.Decision) < fmt.Sprint(b.State, a.Decision) })); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBlock(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		k := o.seats("c1", 0, 1)[0]
		_, err := o.ring.Unblock(t.Context(), manager, k.ID, "was found")
		o.refused(NotBlocked, err)
		_, err = o.ring.Block(t.Context(), manager, k.ID, "")
		o.refused(ReasonMissing, err)
		_, err = o.ring.Block(t.Context(), own, k.ID, "lost")
		o.refused(access.Forbidden, err)
		if blocked, err := o.ring.Block(t.Context(), manager, k.ID, "stood on the web"); err != nil || blocked.Blocked != "stood on the web" {
			t.Errorf("%+v, %v", blocked, err)
		}
		if o.find(k.ID).Blocked != "stood on the web" {
			t.Error("not saved")
		}
		_, err = o.ring.Block(t.Context(), manager, k.ID, "again")
		o.refused(BlockedAlready, err)
		if free, err := o.ring.Unblock(t.Context(), manager, k.ID, "was taken down"); err != nil || free.Blocked != "" {
			t.Errorf("%+v, %v", free, err)
		}
		if diff := cmp.Diff([]string{"key.issue by local/ann", "key.block by operator/op-keys", "key.unblock by operator/op-keys"}, o.acts("key/"+string(k.ID))); diff != "" {
			t.Error(diff)
		}
	})
}

// Counting rooms decide behind the lock; without it two of these would read the
// same count.
func TestLock(t *testing.T) {
	each(t, func(o *office) {
		t := o.T
		k := o.seats("c1", 0, 5)[0]
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if err := o.db.Write(t.Context(), func(tx *db.Tx) error {
					k, err := Lock(tx, k.ID)
					if err != nil || k.Remaining() == 0 {
						return err
					}
					_, err = Count(tx, k.ID, 1)
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// rule K5
		if k := o.find(k.ID); k.Used != 5 || k.Remaining() != 0 || k.Version != 12 {
			t.Errorf("%+v", k)
		}
		o.must(func(tx *db.Tx) error {
			_, err := Lock(tx, "key-none")
			o.refused(KeyUnknown, err)
			return nil
		})
	})
}
