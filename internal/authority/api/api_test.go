package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/access"
	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/internal/authority/sales"
	"github.com/openesu/openesu/internal/db"
	"github.com/openesu/openesu/internal/wire"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.program()
	publisher := w.token("pia", access.Publisher)
	customer := `{"name":"Contoso"}`
	for _, tc := range []struct {
		name   string
		ask    ask
		status int
		code   problem.Code
		detail string
	}{
		{"unknown member", ask{method: "POST", path: "/customers", body: `{"name":"A","naam":"B"}`, who: &owner}, 400, api.Invalid, "naam"},
		{"missing member", ask{method: "POST", path: "/customers", body: `{}`, who: &owner}, 400, api.Invalid, "name"},
		{"wrong type", ask{method: "POST", path: "/customers", body: `{"name":1}`, who: &owner}, 400, api.Invalid, "name"},
		{"no document", ask{method: "POST", path: "/customers", body: `{"name":`, who: &owner}, 400, api.Invalid, "JSON"},
		{"data after", ask{method: "POST", path: "/customers", body: customer + `{}`, who: &owner}, 400, api.Invalid, ""},
		{"no body", ask{method: "POST", path: "/customers", who: &owner}, 400, api.Invalid, ""},
		{"too long", ask{method: "POST", path: "/customers", body: `{"name":"` + strings.Repeat("x", api.MaxBody) + `"}`, who: &owner}, 413, wire.BodyTooLarge, "1"},
		{"another content", ask{method: "POST", path: "/customers", body: customer, who: &owner, header: map[string]string{"Content-Type": "text/xml"}}, 400, api.Invalid, ""},
		{"unknown parameter", ask{method: "GET", path: "/customers?limmit=3", who: &owner}, 400, api.Invalid, "limmit"},
		{"parameter out of range", ask{method: "GET", path: "/customers?limit=100000", who: &owner}, 400, api.Invalid, "limit"},
		{"malformed day", ask{method: "GET", path: "/orders?from=yesterday", who: &owner}, 400, api.Invalid, "from"},
		{"nobody", ask{method: "GET", path: "/customers"}, 401, api.NotSignedIn, ""},
		{"no bearer", ask{method: "GET", path: "/customers", header: map[string]string{"Authorization": "Basic YTpi"}}, 401, api.NotSignedIn, ""},
		{"wrong token", ask{method: "GET", path: "/customers", header: bearer("esu_wrong")}, 401, access.TokenUnknown, ""},
		{"a wrong token beside the socket", ask{method: "GET", path: "/customers", who: &owner, header: bearer("esu_wrong")}, 401, access.TokenUnknown, ""},
		{"not allowed", ask{method: "GET", path: "/customers", header: bearer(publisher)}, 403, access.Forbidden, "customer.read"},
		{"not allowed comes before the body", ask{method: "POST", path: "/customers", body: `{`, header: bearer(publisher)}, 403, access.Forbidden, ""},
		{"no such route", ask{method: "GET", path: "/nothing", who: &owner}, 404, api.RouteUnknown, "/nothing"},
		{"wrong method", ask{method: "DELETE", path: "/customers", who: &owner}, 400, api.MethodWrong, "DELETE"},
		{"of an act", ask{method: "GET", path: "/customers/Nobody", who: &owner}, 404, sales.CustomerUnknown, "Nobody"},
		{"bad price", ask{method: "POST", path: "/quotes", body: `{"program":"windows-7","lines":[],"sellerPrices":[{"year":1,"price":"50"}]}`, who: &owner}, 400, api.Invalid, "50"},
		{"bad cursor", ask{method: "GET", path: "/audit?after=x", who: &owner}, 400, api.CursorBad, "x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := &world{T: t, office: w.office}
			r := in.refused(in.do(tc.ask), tc.status, tc.code)
			if !strings.Contains(r.Detail, tc.detail) {
				t.Errorf("%q does not say %q", r.Detail, tc.detail)
			}
		})
	}
	if g := w.do(ask{method: "DELETE", path: "/customers", who: &owner}); g.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", g.header.Get("Allow"))
	}
	if g := w.do(ask{method: "GET", path: "/customers"}); !strings.HasPrefix(g.header.Get("WWW-Authenticate"), "Bearer") {
		t.Error("401 without a challenge")
	}
	if all := ok[api.Customers](w, "GET", "/customers", nil); len(all.Customers) != 0 {
		t.Errorf("a refused request added %+v", all)
	}
}

// document is /openapi.json as far as the tests read it.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		ID         string           `json:"operationId"`
		Permission string           `json:"x-permission"`
		Security   []map[string]any `json:"security"`
		Responses  map[string]any   `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]any `json:"schemas"`
	} `json:"components"`
}

func (w *world) document() document {
	w.Helper()
	rec := httptest.NewRecorder()
	w.office.ServeHTTP(rec, httptest.NewRequestWithContext(w.Context(), "GET", "/openapi.json", nil))
	var d document
	w.must(json.Unmarshal(rec.Body.Bytes(), &d))
	return d
}

// Every operation of the document is tried by nobody, and by somebody whose token
// carries no permission that it needs.
func TestPermissions(t *testing.T) {
	w := newWorld(t)
	d := w.document()
	if d.OpenAPI != "3.1.0" || len(d.Paths) < 30 || d.Components.Schemas["Refusal"] == nil || d.Components.Schemas["ErrorModel"] != nil {
		t.Fatalf("document: %s, %d paths", d.OpenAPI, len(d.Paths))
	}
	ok[api.Operator](w, "POST", "/operators", api.AddOperator{Name: "mia", Roles: []access.Role{access.Owner}})
	scoped := map[access.Permission]string{}
	for _, p := range []access.Permission{access.ProgramRead, access.QuoteMake} {
		issued := ok[api.IssuedToken](w, "POST", "/operators/mia/tokens", api.IssueToken{Scopes: []access.Permission{p}, Expires: w.now.Add(time.Hour)})
		scoped[p] = issued.Secret
	}
	known := map[string]bool{}
	for _, p := range access.Permissions() {
		known[string(p)] = true
	}
	open := map[string]bool{}
	used := map[string]bool{}
	fill := strings.NewReplacer("{", "", "}", "")
	for path, methods := range d.Paths {
		for method, op := range methods {
			if op.Responses["default"] == nil {
				t.Errorf("%s tells of no refusal", op.ID)
			}
			target := strings.TrimPrefix(fill.Replace(path), "/api/v1")
			if op.Permission == "" {
				open[op.ID] = true
				if g := w.do(ask{method: strings.ToUpper(method), path: target}); g.status != http.StatusOK {
					t.Errorf("%s is open: status %d", op.ID, g.status)
				}
				continue
			}
			used[op.Permission] = true
			if !known[op.Permission] || len(op.Security) == 0 {
				t.Errorf("%s: permission %q, security %v", op.ID, op.Permission, op.Security)
			}
			w.refused(w.do(ask{method: strings.ToUpper(method), path: target}), 401, api.NotSignedIn)
			w.refused(w.do(ask{method: strings.ToUpper(method), path: target, who: new(access.Actor{Kind: access.Operator, ID: "op-none", Tenant: access.All})}), 403, access.Forbidden)
			other := access.ProgramRead
			if op.Permission == string(access.ProgramRead) {
				other = access.QuoteMake
			}
			w.refused(w.do(ask{method: strings.ToUpper(method), path: target, header: bearer(scoped[other])}), 403, access.OutOfScope)
		}
	}
	// rule B18
	if diff := cmp.Diff(map[string]bool{"list-partners": true, "show-trust": true}, open); diff != "" {
		t.Error("open to everybody:", diff)
	}
	if len(used) < 15 {
		t.Errorf("only %d permissions are used", len(used))
	}
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	add := func(body, key string) got {
		return w.do(ask{method: "POST", path: "/customers", body: body, who: &owner, header: map[string]string{"Idempotency-Key": key}})
	}
	first := add(`{"name":"Contoso"}`, "k1")
	again := add(`{"name":"Contoso"}`, "k1")
	if first.status != 201 || again.status != 201 || first.body != again.body || again.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	w.refused(add(`{"name":"Fabrikam"}`, "k1"), 409, api.KeyReused)
	w.refused(add(`{"name":"Fabrikam"}`, strings.Repeat("k", 201)), 400, api.KeyTooLong)
	w.refused(add(`{"name":"Contoso"}`, "k2"), 409, sales.CustomerExists) // another key is another request
	if g := add(`{"name":"Litware"}`, "k2"); g.status != 201 {
		t.Errorf("a refusal holds its key: %+v", g)
	}
	// Another principal, and another route, have keys of their own.
	other := access.LocalUser("bob")
	if g := w.do(ask{method: "POST", path: "/customers", body: `{"name":"Proseware"}`, who: &other, header: map[string]string{"Idempotency-Key": "k1"}}); g.status != 201 {
		t.Errorf("another principal: %+v", g)
	}
	if g := w.do(ask{method: "POST", path: "/partners", body: `{"name":"Contoso","kind":"direct"}`, who: &owner, header: map[string]string{"Idempotency-Key": "k1"}}); g.status != 201 {
		t.Errorf("another route: %+v", g)
	}
	if all := ok[api.Customers](w, "GET", "/customers", nil); len(all.Customers) != 3 {
		t.Errorf("%d customers", len(all.Customers))
	}
	w.advance(8 * 24 * time.Hour)
	w.refused(add(`{"name":"Contoso"}`, "k1"), 409, sales.CustomerExists) // forgotten by then
}

// A key whose answer never came is not tried again: somebody has to look.
func TestOutcomeUnknown(t *testing.T) {
	w := newWorld(t)
	body := `{"name":"Contoso"}`
	sum := sha256.Sum256([]byte(body))
	w.must(w.authority.DB.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO idempotency (principal, route, key, request, status, response, at) VALUES ($1, $2, $3, $4, 0, $5, $6)`,
			"local/ann", "POST /api/v1/customers", "k", sum[:], []byte{}, tx.Now.Unix())
		return err
	}))
	a := ask{method: "POST", path: "/customers", body: body, who: &owner, header: map[string]string{"Idempotency-Key": "k"}}
	w.refused(w.do(a), 409, api.KeyBusy)
	w.advance(6 * time.Minute)
	w.refused(w.do(a), 409, api.OutcomeUnknown)
	if all := ok[api.Customers](w, "GET", "/customers", nil); len(all.Customers) != 0 {
		t.Errorf("customers %+v", all)
	}
}

// What is no refusal is told by a request id alone, and a key stays taken.
func TestInternalError(t *testing.T) {
	w := newWorld(t)
	w.must(w.authority.DB.Write(t.Context(), func(tx *db.Tx) error { _, err := tx.Exec(`DROP TABLE partners`); return err }))
	a := ask{method: "POST", path: "/partners", body: `{"name":"A","kind":"direct"}`, who: &owner, header: map[string]string{"Idempotency-Key": "k"}}
	r := w.refused(w.do(a), 500, wire.InternalError)
	if r.Request == "" || strings.Contains(r.Detail, "partners") {
		t.Errorf("internal error: %+v", r)
	}
	w.refused(w.do(a), 409, api.KeyBusy)
}

func TestIdempotencyAtTheSameTime(t *testing.T) {
	w := newWorld(t)
	const many = 8
	answers := make(chan got, many)
	for range many {
		go func() {
			answers <- w.do(ask{method: "POST", path: "/customers", body: `{"name":"Contoso"}`, who: &owner, header: map[string]string{"Idempotency-Key": "k"}})
		}()
	}
	for range many {
		if g := <-answers; g.status != 201 {
			w.refused(g, 409, api.KeyBusy)
		}
	}
	if all := ok[api.Customers](w, "GET", "/customers", nil); len(all.Customers) != 1 {
		t.Errorf("%d customers", len(all.Customers))
	}
}

// A secret is not kept for repeats, and neither is it in the audit rows.
func TestSecretsAreNotKept(t *testing.T) {
	w := newWorld(t)
	ok[api.Operator](w, "POST", "/operators", api.AddOperator{Name: "mia", Roles: []access.Role{access.Auditor}})
	b, err := json.Marshal(api.IssueToken{Expires: w.now.Add(time.Hour)})
	w.must(err)
	issue := ask{method: "POST", path: "/operators/mia/tokens", body: string(b), who: &owner, header: map[string]string{"Idempotency-Key": "k"}}
	token := read[api.IssuedToken](w, w.do(issue))
	w.refused(w.do(issue), 409, api.AnswerNotKept)
	if all := ok[api.Tokens](w, "GET", "/operators/mia/tokens", nil); len(all.Tokens) != 1 {
		t.Errorf("%d tokens", len(all.Tokens))
	}
	rows := w.do(ask{method: "GET", path: "/audit", header: bearer(token.Secret)})
	if rows.status != 200 || strings.Contains(rows.body, token.Secret) {
		t.Errorf("audit: %s", rows.body)
	}
	ok[api.TokenEnded](w, "DELETE", "/tokens/"+token.ID, nil)
	w.refused(w.do(ask{method: "GET", path: "/audit", header: bearer(token.Secret)}), 401, access.TokenRevoked)
	ok[api.Operator](w, "DELETE", "/operators/mia", nil)
	w.refused(w.do(ask{method: "PUT", path: "/operators/mia/roles", body: `{"roles":["auditor"]}`, who: &owner}), 422, access.OperatorEnded)
}

func TestFromQuoteToKey(t *testing.T) {
	w := newWorld(t)
	w.program()
	contoso := ok[sales.Customer](w, "POST", "/customers", api.AddCustomer{Name: "Contoso"})
	ok[sales.Partner](w, "POST", "/partners", api.AddPartner{Name: "Fabrikam", Kind: sales.Direct, Channels: nil})
	ok[sales.Partner](w, "PUT", "/partners/fabrikam/channels", api.RegisterPartner{Channels: []program.ChannelID{"csp"}})

	wish := api.Wish{Program: "windows-7", Channel: "csp", Currency: "USD", Lines: []api.WishLine{{Year: 2, Quantity: 10}}}
	q := ok[api.Quote](w, "POST", "/quotes", api.QuoteWish{Wish: wish})
	if q.Allowed || len(q.Refusals) == 0 || q.Refusals[0].Code != "purchase.years-missing" || q.Refusals[0].Detail == "" || len(q.Missing) != 1 || q.TotalWithMissing == nil {
		t.Fatalf("quote of year 2 alone: %+v", q)
	}
	if q.Total.Currency != "USD" || q.TotalWithMissing.Minor <= q.Total.Minor {
		t.Errorf("totals: %v, %v", q.Total, q.TotalWithMissing)
	}
	wish.Lines = append(wish.Lines, api.WishLine{Year: 1, Quantity: 10})
	if q := ok[api.Quote](w, "POST", "/quotes", api.QuoteWish{Wish: wish}); !q.Allowed || q.Total == nil {
		t.Fatalf("quote of both: %+v", q)
	}
	wish.Customer = "contoso"
	body, err := json.Marshal(wish)
	w.must(err)
	w.refused(w.do(ask{method: "POST", path: "/orders", body: string(body), who: &owner}), 422, "purchase.seller-missing")
	wish.Lines, wish.Seller = wish.Lines[:1], "Fabrikam"
	wish.Home = true
	body, err = json.Marshal(wish)
	w.must(err)
	both := w.refused(w.do(ask{method: "POST", path: "/orders", body: string(body), who: &owner, header: map[string]string{"Accept-Language": "en"}}), 422, "purchase.home-user")
	if len(both.Others) == 0 || both.Others[len(both.Others)-1].Code != "purchase.years-missing" {
		t.Errorf("not all reasons: %+v", both)
	}
	wish.Home, wish.Lines = false, []api.WishLine{{Year: 1, Quantity: 10}}
	placed := ok[api.Placed](w, "POST", "/orders", wish)
	if placed.Order.Customer != contoso.ID || len(placed.Keys) != 1 || placed.Keys[0].Limit != 10 || placed.Keys[0].Portal == "" || placed.Keys[0].Tool == "" {
		t.Fatalf("order: %+v", placed)
	}
	key := placed.Keys[0]
	revealed := ok[api.RevealedKey](w, "POST", "/keys/"+string(key.ID)+"/reveal", nil)
	if len(revealed.Key) != 29 || !strings.HasSuffix(revealed.Key, key.LastFive) {
		t.Errorf("revealed %q", revealed.Key)
	}
	if raised := ok[api.Key](w, "POST", "/keys/"+string(key.ID)+"/limit", api.RaiseLimit{By: 5, Reason: "new disks"}); raised.Limit != 15 || raised.Remaining != 15 {
		t.Errorf("raised: %+v", raised)
	}
	if blocked := ok[api.Key](w, "POST", "/keys/"+string(key.ID)+"/block", api.Reason{Reason: "leaked"}); blocked.Blocked != "leaked" {
		t.Errorf("blocked: %+v", blocked)
	}
	ok[api.Key](w, "POST", "/keys/"+string(key.ID)+"/unblock", api.Reason{Reason: "was not"})
	w.sides(contoso, key, placed.Order.ID)

	// The rows come page by page, and none of them twice.
	seen := map[int64]bool{}
	for after := ""; ; {
		page := ok[api.AuditRows](w, "GET", "/audit?limit=3&after="+after, nil)
		for _, row := range page.Rows {
			if text, err := json.Marshal(row); seen[row.Seq] || err != nil || strings.Contains(string(text), revealed.Key) {
				t.Errorf("row %d again, or with a secret: %s, %v", row.Seq, text, err)
			}
			seen[row.Seq] = true
		}
		if after = page.Next; after == "" {
			break
		}
	}
	report := ok[api.AuditReport](w, "POST", "/audit/verification", api.VerifyAudit{})
	if !report.Intact || report.Rows != int64(len(seen)) {
		t.Errorf("report %+v, %d rows seen", report, len(seen))
	}
}

// sides holds partners and customers to what is theirs.
func (w *world) sides(contoso sales.Customer, key api.Key, order sales.OrderID) {
	w.Helper()
	other := ok[sales.Customer](w, "POST", "/customers", api.AddCustomer{Name: "Wingtip"})
	ok[sales.Partner](w, "POST", "/partners", api.AddPartner{Name: "Adatum", Kind: sales.Direct, Channels: []program.ChannelID{"csp"}})
	token := func(in api.AddOperator) string {
		ok[api.Operator](w, "POST", "/operators", in)
		return ok[api.IssuedToken](w, "POST", "/operators/"+in.Name+"/tokens", api.IssueToken{Expires: w.now.Add(time.Hour)}).Secret
	}
	seller := token(api.AddOperator{Name: "sam", Roles: []access.Role{access.Partner}, Partner: "fabrikam"})
	rival := token(api.AddOperator{Name: "ria", Roles: []access.Role{access.Partner}, Partner: "Adatum"})
	admin := token(api.AddOperator{Name: "ada", Roles: []access.Role{access.CustomerAdministrator}, Customer: "Contoso"})
	stranger := token(api.AddOperator{Name: "sue", Roles: []access.Role{access.CustomerAdministrator}, Customer: "Wingtip"})
	reveal := "/keys/" + string(key.ID) + "/reveal"
	for name, tok := range map[string]string{"seller": seller, "administrator": admin} { // rule K8
		if g := w.do(ask{method: "POST", path: reveal, header: bearer(tok)}); g.status != 200 {
			w.Errorf("%s: %+v", name, g)
		}
		if g := w.do(ask{method: "GET", path: "/orders/" + string(order), header: bearer(tok)}); g.status != 200 {
			w.Errorf("%s: %+v", name, g)
		}
		if keys := read[api.Keys](w, w.do(ask{method: "GET", path: "/keys?customer=Contoso", header: bearer(tok)})); len(keys.Keys) != 1 {
			w.Errorf("%s sees %+v", name, keys)
		}
	}
	for name, tok := range map[string]string{"rival": rival, "stranger": stranger} {
		w.refused(w.do(ask{method: "POST", path: reveal, header: bearer(tok)}), 404, "keyring.key-unknown")
		w.refused(w.do(ask{method: "GET", path: "/keys/" + string(key.ID), header: bearer(tok)}), 404, "keyring.key-unknown")
		w.refused(w.do(ask{method: "GET", path: "/orders/" + string(order), header: bearer(tok)}), 404, sales.OrderUnknown)
		w.refused(w.do(ask{method: "GET", path: "/keys?customer=Contoso", header: bearer(tok)}), 404, sales.CustomerUnknown)
		w.refused(w.do(ask{method: "GET", path: "/customers/" + string(contoso.ID), header: bearer(tok)}), 404, sales.CustomerUnknown)
		if keys := read[api.Keys](w, w.do(ask{method: "GET", path: "/keys", header: bearer(tok)})); len(keys.Keys) != 0 {
			w.Errorf("%s sees %+v", name, keys)
		}
	}
	if g := w.do(ask{method: "GET", path: "/customers/" + string(other.ID), header: bearer(stranger)}); g.status != 200 {
		w.Errorf("its own: %+v", g)
	}
}
