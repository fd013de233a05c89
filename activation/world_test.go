package activation_test

import (
	"testing"
	"time"

	"github.com/openesu/openesu/activation"
	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/device"
	"github.com/openesu/openesu/license/jws"
	"github.com/openesu/openesu/license/licensetest"
	"github.com/openesu/openesu/productkey"
	"github.com/openesu/openesu/program"
)

const (
	desktop1  = program.ActivationID("aaaaaaaa-0000-4000-8000-000000000001")
	desktop2  = program.ActivationID("aaaaaaaa-0000-4000-8000-000000000002")
	server4   = program.ActivationID("bbbbbbbb-0000-4000-8000-000000000004")
	embedded1 = program.ActivationID("cccccccc-0000-4000-8000-000000000001")

	// tags
	tagDesktop1, tagDesktop2, tagServer4, tagEmbedded1, tagElsewhere = 11, 12, 24, 31, 99
)

// offer is a program with two standard tracks and an embedded one.
func offer() *program.Program {
	year := func(n program.Year, tag program.Tag, id program.ActivationID) program.CoverageYear {
		first := civil.MustParse("2020-01-15").AddMonths(12 * int(n-1))
		return program.CoverageYear{Year: n, First: first, Last: first.AddMonths(12).AddDays(-1), ActivationID: id, Tag: tag}
	}
	cloud := year(4, tagServer4, server4)
	cloud.Only = program.OnlyCloud
	return &program.Program{Public: program.Public{
		ID: "windows-7", Name: "Windows 7", Vendor: "Contoso",
		Tracks: []program.Track{
			{ID: "desktop", Name: "Desktop", Years: []program.CoverageYear{year(1, tagDesktop1, desktop1), year(2, tagDesktop2, desktop2)}},
			{ID: "server", Name: "Server", Years: []program.CoverageYear{cloud}},
			{ID: "pos", Name: "Point of sale", Embedded: true, Years: []program.CoverageYear{year(1, tagEmbedded1, embedded1)}},
		},
		Architectures: []program.Arch{"x64", "x86"},
		Editions: []program.Edition{
			{ID: "pro", Name: "Professional", Track: "desktop"},
			{ID: "standard", Name: "Server Standard", Track: "server", Architectures: []program.Arch{"x64"}},
			{ID: "till", Name: "Till", Track: "pos", Architectures: []program.Arch{"x86"}},
			{ID: "ultimate", Name: "Ultimate", Ineligible: &program.Ineligible{Reason: program.Text{"en": "It was never covered."}}},
			{ID: "home", Name: "Home", Ineligible: &program.Ineligible{Home: true, Reason: program.Text{"en": "Home."}}},
		},
		Prerequisites: []program.Prerequisite{
			{ID: "stack", Name: program.Text{"en": "Servicing stack"}, Role: program.RoleServicingStack, AnyOf: []program.UpdateID{"KB1"}},
			{ID: "licensing", Name: program.Text{"en": "Licensing update"}, Role: program.RoleLicensing, AnyOf: []program.UpdateID{"KB2", "KB3"}},
			{ID: "preparation", Name: program.Text{"en": "Preparation package"}, Role: program.RolePreparation, AnyOf: []program.UpdateID{"KB4"}},
		},
		ForeignKeys: []program.ForeignKey{{Prefix: "BD3762d7", Name: "Desktop's own key"}},
		Upgrade:     program.Text{"en": "Upgrade."}, Notice: program.Text{"en": "Support has ended."},
	}}
}

// key is the n-th key of a tag.
func key(t testing.TB, tag productkey.Tag, n byte) productkey.Key {
	t.Helper()
	k, err := productkey.New(tag, [12]byte{11: n})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func facts(edition program.EditionID, arch program.Arch) *device.Facts {
	return &device.Facts{Program: "windows-7", Edition: edition, Arch: arch, Installed: []program.UpdateID{"KB1", "KB2"}}
}

// params are what a device says in a request.
func params(d licensetest.Device, id program.ActivationID, f *device.Facts) activation.Params {
	return activation.Params{
		Audience: "contoso", Program: "windows-7", ActivationID: id, Identity: d.Identity, Facts: f,
		IssuedAt: time.Date(2020, time.February, 11, 8, 0, 0, 0, time.UTC),
	}
}

func token(t testing.TB, p activation.Params, k productkey.Key, d licensetest.Device) string {
	t.Helper()
	text, err := activation.NewRequest(p, k, jws.InMemory(d.Key))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// ask is a request as the authority has read it.
func ask(t testing.TB, d licensetest.Device, k productkey.Key, id program.ActivationID, f *device.Facts) *activation.Request {
	t.Helper()
	r, err := activation.ParseRequest(token(t, params(d, id, f), k, d), "contoso")
	if err != nil {
		t.Fatal(err)
	}
	return r
}
