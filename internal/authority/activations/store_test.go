package activations_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/activations"
	"github.com/openesu/openesu/internal/authority/schema"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/db/dbtest"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/program"
)

// Facts are stored in the order of their digests, whatever order they came in:
// two processes that store the same ones never wait for each other in a circle.
func TestFactsAreStoredInOneOrder(t *testing.T) {
	c := db.Config{Path: filepath.Join(t.TempDir(), "esu.db"), Migrations: schema.Migrations(), Now: at}
	o := open(t, dbtest.Open(t, c), 0)
	key, _ := o.sell("contoso", 100)
	var requests []*activation.Request
	for i := range 12 {
		request, err := activation.ParseRequest(o.request(fmt.Sprint("device ", i), key, func(p *activation.Params) {
			p.Facts.Components = []program.ComponentID{program.ComponentID(fmt.Sprint("component-", i))}
		}), "vendor")
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request)
	}
	if err := activations.Commit(t.Context(), o.room, requests); err != nil {
		t.Fatal(err)
	}
	var last []byte
	n := 0
	if err := o.db.Read(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query(`SELECT digest FROM facts ORDER BY rowid`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for ; rows.Next(); n++ {
			var digest []byte
			if err := rows.Scan(&digest); err != nil {
				return err
			}
			if bytes.Compare(last, digest) >= 0 {
				t.Errorf("%x comes after %x", digest, last)
			}
			last = digest
		}
		return rows.Err()
	}); err != nil || n != len(requests) {
		t.Fatalf("%d facts, %v", n, err)
	}
}

// A customer whose name no license would take, from when sales still took it,
// activates all the same.
func TestNamesThatDoNotFit(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		key, _ := o.sell("contoso", 10)
		for i, names := range [][2]string{
			{"Contoso", "Contoso"},
			{strings.Repeat("a", 201), strings.Repeat("a", 200)},
			{strings.Repeat("株", 200), strings.Repeat("株", 66)},
			{"Con\u009btoso\x1b", "Contoso"},
		} {
			c := o.room.Config
			c.Customer = func(*db.Tx, access.Tenant) (string, error) { return names[0], nil }
			room := activations.Open(c)
			t.Cleanup(room.Close)
			device := fmt.Sprint("device ", i)
			answers, err := room.Activate(t.Context(), license.Online, []string{o.request(device, key, nil)})
			if err != nil || answers[0].Err != nil {
				t.Errorf("%q: %v, %v", names[0], err, answers[0].Err)
				continue
			}
			held, rejected := license.Verify(o.authority.Verifier(licensetest.NewDevice(device)), []license.Token{answers[0].License})
			if len(rejected) > 0 {
				t.Fatal(rejected)
			}
			if diff := cmp.Diff(names[1], held.Claims()[0].Customer); diff != "" {
				t.Error(diff)
			}
		}
	})
}

// An installation is known from its first activation on, with its key, and once
// however many keys it activated.
func TestKnown(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		first, _ := o.sell("contoso", 1)
		second, _ := o.sell("fabrikam", 1)
		d := licensetest.NewDevice("one")
		known := func() (key license.PublicKey, found bool) {
			t.Helper()
			if err := o.db.Read(context.Background(), func(tx *db.Tx) (err error) {
				key, found, err = activations.Known(tx, d.Fingerprint)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return key, found
		}
		if key, found := known(); found || !key.IsZero() {
			t.Errorf("known before it activated: %v", key)
		}
		o.activate(o.request("one", first, nil), o.request("one", second, nil), o.request("two", first, nil))
		if key, found := known(); !found || key != d.PublicKey {
			t.Errorf("%v, %t", key, found)
		}
		d = licensetest.NewDevice("two")
		if _, found := known(); found {
			t.Error("known by a request past the limit")
		}
	})
}
