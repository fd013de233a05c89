package office

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/internal/authority/api"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

func TestReadCustomers(t *testing.T) {
	rows, err := readCustomers("f.csv", []byte("\ufeffQualifications, NAME\n a; b ;,\"Contoso,\n Ltd\"\n,Fabrikam\n"))
	want := []customerRow{
		{2, api.AddCustomer{Name: "Contoso,\n Ltd", Qualifications: []program.QualificationID{"a", "b"}}},
		{4, api.AddCustomer{Name: "Fabrikam"}},
	}
	if diff := cmp.Diff(want, rows, cmp.AllowUnexported(customerRow{})); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for name, text := range map[string]string{"empty": "", "no name": "country\nUS\n", "unknown": "name,x\nA,B\n", "short row": "name,country\nA\n", "quote": "name\n\"A\n"} {
		if _, err := readCustomers("f.csv", []byte(text)); problem.CodeOf(err) != CSVMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadCustomers(f *testing.F) {
	f.Add([]byte("name,tenant_id,qualifications\nA,b,c;d\n"))
	f.Add([]byte("name\n\"A\nB\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := readCustomers("f.csv", text)
		if err != nil && problem.CodeOf(err) != CSVMalformed {
			t.Fatal(err)
		}
		last := 1
		for _, row := range rows {
			if row.line <= last {
				t.Fatalf("row of line %d after line %d", row.line, last)
			}
			last = row.line
		}
	})
}

func TestPublicKey(t *testing.T) {
	const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFH1WZj7wVcvV9P9t1Vv0qzZ0bJ9sQ0bX0m2cFmR6b1T pia@example"
	text, err := publicKey(line)
	if err != nil || len(text) != len("ed25519:")+43 {
		t.Errorf("%q, %v", text, err)
	}
	if again, err := publicKey(text); again != text || err != nil {
		t.Errorf("%q, %v", again, err)
	}
	if _, err := publicKey("ssh-ed25519 AAAA"); problem.CodeOf(err) != PublisherMalformed {
		t.Errorf("malformed: %v", err)
	}
	if _, err := publicKey("no-such-file"); problem.CodeOf(err) != FileUnreadable {
		t.Errorf("missing: %v", err)
	}
}

// Plural forms and large numbers come out of the wire as they went in.
func TestNumber(t *testing.T) {
	got := []any{number(float64(1000000)), number(json.Number("3")), number(1.5), number("x"), number([]any{float64(2)})}
	want := []any{int64(1000000), int64(3), 1.5, "x", []any{int64(2)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
