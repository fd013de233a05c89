package license_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/update"
)

func TestKeysDocument(t *testing.T) {
	w := newWorld(t)
	text, err := w.Keys.JSON()
	if err != nil {
		t.Fatal(err)
	}
	read, err := license.ParseKeys(text)
	if err != nil {
		t.Fatal(err)
	}
	v := w.verifier()
	v.Keys = read
	if got := verdict(v, w.Sign(t, w.Claims(t, w.device, "desktop", 1))); got != "" || read.Authority() != "contoso" {
		t.Errorf("a license under keys that were read: %q", got)
	}
	key := func(members string) string {
		return `{"kid":"k","use":"license","program":"windows-7","epoch":1,"public":"` + strings.Repeat("A", 43) + `"` + members + `}`
	}
	doc := func(keys ...string) string {
		return `{"format":1,"authority":"contoso","keys":[` + strings.Join(keys, ",") + `]}`
	}
	for what, tc := range map[string]struct {
		text string
		ok   bool
	}{
		"no keys":                      {doc(), true},
		"one key":                      {doc(key("")), true},
		"a member of later":            {doc(key(`,"note":"x"`)), true},
		"a use of later":               {doc(strings.Replace(key(""), `"license"`, `"approval"`, 1)), true},
		"closed":                       {doc(key(`,"closed":"` + strings.Repeat("0", 64) + `"`)), true},
		"closed by no digest":          {doc(key(`,"closed":"yes"`)), false},
		"an id twice":                  {doc(key(""), strings.Replace(key(""), "AAA", "AAB", 1)), false},
		"one key for two uses":         {doc(key(""), strings.NewReplacer(`"k"`, `"l"`, `"license"`, `"access"`).Replace(key(""))), false},
		"a member twice":               {doc(key(`,"use":"access"`)), false},
		"a member in capitals":         {doc(strings.Replace(key(""), `"use"`, `"USE"`, 1)), false},
		"a short key":                  {doc(strings.Replace(key(""), "AAAA", "", 1)), false},
		"a key with padding":           {doc(strings.Replace(key(""), `A"`, `A="`, 1)), false},
		"no program":                   {doc(strings.Replace(key(""), "windows-7", "trust", 1)), false},
		"no epoch":                     {doc(strings.Replace(key(""), `:1,"public"`, `:0,"public"`, 1)), false},
		"another format":               {strings.Replace(doc(), "1", "2", 1), false},
		"no authority":                 {strings.Replace(doc(), "contoso", "", 1), false},
		"another document after":       {doc() + doc(), false},
		"more than is ever read":       {doc() + strings.Repeat(" ", license.MaxKeys), false},
		"null":                         {"null", false},
		"no text":                      {"", false},
		"a use that is not one":        {doc(strings.Replace(key(""), `"license"`, `""`, 1)), false},
		"an id with a line break":      {doc(strings.Replace(key(""), `"k"`, `"k\n"`, 1)), false},
		"a voice key, longer":          {doc(strings.NewReplacer(`"license"`, `"voice"`, "AAA", "AAAAAAA").Replace(key(""))), true},
		"a license key of such length": {doc(strings.NewReplacer("AAA", "AAAAAAA").Replace(key(""))), false},
	} {
		_, err := license.ParseKeys([]byte(tc.text))
		if want := license.DocumentMalformed; tc.ok && err != nil || !tc.ok && problem.CodeOf(err) != want {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A key of a use that this reader does not know verifies nothing.
func TestUseOfLater(t *testing.T) {
	w := newWorld(t)
	keys, err := license.NewKeys("contoso", license.VerificationKey{
		ID: "license-1", Use: "approval", Program: "windows-7", Epoch: 1,
		Public: license.KeyBytes(w.License.Public().(ed25519.PublicKey)),
	})
	if err != nil {
		t.Fatal(err)
	}
	v := w.verifier()
	v.Keys = keys
	if got := verdict(v, w.Sign(t, w.Claims(t, w.device, "desktop", 1))); got != license.KeyNotTrusted {
		t.Errorf("%q", got)
	}
}

// A server was broken into: its key is closed, and only licenses on the list
// stay valid, whatever the thief signs and however it is dated.
func TestAttackClosedKey(t *testing.T) {
	w := newWorld(t)
	before, after := w.Claims(t, w.device, "desktop", 1), w.Claims(t, w.device, "desktop", 2)
	after.IssuedAt = before.IssuedAt
	list, err := license.NewClosedList([]license.ID{"lic-9", before.ID})
	if err != nil {
		t.Fatal(err)
	}
	longer, err := license.NewClosedList([]license.ID{"lic-9", before.ID, after.ID}) // the thief's own list
	if err != nil {
		t.Fatal(err)
	}
	closed := w.Keys.All()[1]
	if closed.ID != "license-1" {
		t.Fatal("not the key that was meant")
	}
	closed.Closed = list.Digest()
	v := w.verifier()
	if v.Keys, err = license.NewKeys("contoso", closed); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		what   string
		claims license.Claims
		lists  []license.ClosedList
		want   problem.Code
	}{
		{"on the list", before, []license.ClosedList{longer, list}, ""},
		{"not on it", after, []license.ClosedList{longer, list}, license.ClosedKey},
		{"with another list", after, []license.ClosedList{longer}, license.ClosedListMissing},
		{"with none", before, nil, license.ClosedListMissing},
	} {
		v.Closed = tc.lists
		if got := verdict(v, w.Sign(t, tc.claims)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

func TestClosedListText(t *testing.T) {
	list, err := license.NewClosedList([]license.ID{"b", "a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	// printf 'a\nb\n' | sha256sum
	const digest = update.Digest("911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2")
	if string(list.Text()) != "a\nb\n" || list.Digest() != digest {
		t.Errorf("%q %s", list.Text(), list.Digest())
	}
	for text, ok := range map[string]bool{
		"": true, "a\nb\n": true, "a\nb": false, "b\na\n": false, "a\na\n": false,
		"a\r\nb\r\n": false, "a\n\nb\n": false, "a b\n": false,
	} {
		read, err := license.ParseClosedList([]byte(text))
		if (err == nil) != ok || ok && string(read.Text()) != text {
			t.Errorf("%q: %v", text, err)
		}
		if !ok && problem.CodeOf(err) != license.DocumentMalformed {
			t.Errorf("%q: %v", text, err)
		}
	}
	if !list.Has("a") || list.Has("c") {
		t.Error("the list has others than it was made of")
	}
}

func TestEndedDocument(t *testing.T) {
	ended, err := license.NewEnded(map[license.ID]civil.Date{"lic-2": day("2020-06-09"), "lic-1": day("2021-01-01")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := ended.JSON()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"format":1,"ended":{"lic-1":"2021-01-01","lic-2":"2020-06-09"}}`
	if string(text) != want {
		t.Errorf("%s", text)
	}
	read, err := license.ParseEnded(text)
	if err != nil || read.Last("lic-2") != day("2020-06-09") || !read.Last("lic-3").IsZero() {
		t.Errorf("read back: %v", err)
	}
	if empty, err := (license.Ended{}).JSON(); err != nil || string(empty) != `{"format":1,"ended":{}}` {
		t.Errorf("%s %v", empty, err)
	}
	for _, bad := range []string{
		"", "null", `{"format":2,"ended":{}}`, `{"format":1,"ended":{"lic-1":""}}`, `{"format":1,"ended":{"lic-1":"2020-02-30"}}`,
		`{"format":1,"ended":{"":"2020-02-03"}}`, `{"format":1,"ended":{"a":"2020-02-03","a":"2020-02-04"}}`,
	} {
		if _, err := license.ParseEnded([]byte(bad)); problem.CodeOf(err) != license.DocumentMalformed {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzKeys(f *testing.F) {
	text, err := licensetest.NewAuthority(f, "contoso", offer("windows-7")).Keys.JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":1,"authority":"a","keys":[{"kid":"k","use":"voice","program":"p","epoch":1,"public":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := license.ParseKeys(text)
		if err != nil {
			if problem.CodeOf(err) != license.DocumentMalformed {
				t.Fatalf("no problem of this package: %v", err)
			}
			return
		}
		once, err := keys.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := license.ParseKeys(once)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if twice, err := again.JSON(); err != nil || string(twice) != string(once) {
			t.Fatalf("%s is written as %s (%v)", once, twice, err)
		}
	})
}

func FuzzClosedList(f *testing.F) {
	f.Add([]byte("a\nb\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := license.ParseClosedList(text); err == nil && string(l.Text()) != string(text) {
			t.Fatalf("%q is written as %q", text, l.Text())
		}
	})
}

func FuzzEnded(f *testing.F) {
	f.Add([]byte(`{"format":1,"ended":{"lic-1":"2021-01-01"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ended, err := license.ParseEnded(text)
		if err != nil {
			return
		}
		once, err := ended.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := license.ParseEnded(once); err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
	})
}
