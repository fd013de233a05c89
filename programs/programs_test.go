package programs_test

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
	"github.com/openesu/openesu/program"
	"github.com/openesu/openesu/programs"
)

func load(t testing.TB, id string) *program.Program {
	t.Helper()
	text, err := programs.File(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Parse(id+".yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestShippedPrograms(t *testing.T) {
	want := []string{"appliance-os", "windows-10", "windows-7", "windows-server-2008", "windows-server-2012"}
	if diff := cmp.Diff(want, programs.Names()); diff != "" {
		t.Error(diff)
	}
	for _, id := range programs.Names() {
		p := load(t, id)
		if string(p.ID) != id {
			t.Errorf("%s.yaml is program %s", id, p.ID)
		}
		if _, err := time.LoadLocation(p.TimeZone); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", "windows-8", "../programs/windows-7", "windows-7.yaml"} {
		if _, err := programs.File(id); err == nil {
			t.Errorf("there is a program %q", id)
		}
		if _, ok := programs.History(id); ok {
			t.Errorf("there is a history %q", id)
		}
	}
}

// A key's tag and an activation id belong to one year of one program.
func TestTagsAndActivationIDsAreUnique(t *testing.T) {
	tags, ids := map[program.Tag]string{}, map[program.ActivationID]string{}
	for _, id := range programs.Names() {
		for _, track := range load(t, id).Tracks {
			for _, y := range track.Years {
				here := id + " " + string(track.ID)
				if other, twice := tags[y.Tag]; twice {
					t.Errorf("tag %d is of %s and of %s", y.Tag, here, other)
				}
				if other, twice := ids[y.ActivationID]; twice {
					t.Errorf("activation id %s is of %s and of %s", y.ActivationID, here, other)
				}
				tags[y.Tag], ids[y.ActivationID] = here, here
			}
		}
	}
}

// Nothing locks itself out: whatever a prerequisite is satisfied by is free
// when the prerequisite is asked for, or there is another way.
func TestPreparationIsNeverGated(t *testing.T) {
	for _, id := range programs.Names() {
		p := load(t, id)
		for _, r := range p.Prerequisites {
			for _, later := range r.OrLater {
				for _, kind := range later.Kinds {
					k, _ := p.Kind(kind)
					if !k.Ungated && len(r.AnyOf) == 0 {
						t.Errorf("%s: %s needs what it unlocks", id, r.ID)
					}
				}
			}
		}
	}
}

func TestYearOf(t *testing.T) { // rules P1, B5, D8
	for _, tt := range []struct {
		program, track string
		years          string // "first/last first/last …"
		free           string // the last free day
	}{
		{"windows-7", "windows-7", "2020-01-14/2021-01-12 2021-01-13/2022-01-11 2022-01-12/2023-01-10", "2020-01-14"},
		{"windows-7", "windows-7-for-embedded-systems", "2020-01-14/2021-01-12 2021-01-13/2022-01-11 2022-01-12/2023-01-10", "2020-01-14"},
		{"windows-7", "windows-embedded-standard-7", "2020-10-14/2021-10-12 2021-10-13/2022-10-11 2022-10-12/2023-10-10", "2020-10-13"},
		{"windows-7", "windows-embedded-posready-7", "2021-10-13/2022-10-08 2022-10-09/2023-10-10 2023-10-11/2024-10-14", "2021-10-12"},
		{"windows-7", "windows-server-2008-r2-for-embedded-systems", "2020-01-14/2021-01-12 2021-01-13/2022-01-11 2022-01-12/2023-01-10", "2020-01-14"},
		{"windows-10", "windows-10", "2025-10-15/2026-10-13 2026-10-14/2027-10-12 2027-10-13/2028-10-10", "2025-10-14"},
		{"windows-server-2008", "windows-server-2008", "2020-01-14/2021-01-12 2021-01-13/2022-01-11 2022-01-12/2023-01-10 2023-01-11/2024-01-09", "2020-01-14"},
		{"windows-server-2012", "windows-server-2012", "2023-10-11/2024-10-08 2024-10-09/2025-10-14 2025-10-15/2026-10-13", "2023-10-10"},
		{"appliance-os", "box-os-4", "2025-07-01/2026-06-30 2026-07-01/2027-06-30 2027-07-01/2028-06-30", "2025-06-30"},
	} {
		p := load(t, tt.program)
		track, ok := p.Track(program.TrackID(tt.track))
		if !ok {
			t.Errorf("%s has no track %s", tt.program, tt.track)
			continue
		}
		var ranges []string
		for _, y := range track.Years {
			ranges = append(ranges, y.First.String()+"/"+y.Last.String())
		}
		if got := strings.Join(ranges, " "); got != tt.years {
			t.Errorf("%s: %s, want %s", tt.track, got, tt.years)
		}
		free := civil.MustParse(tt.free)
		if year, ok := track.YearOf(free); !ok || year != program.Free {
			t.Errorf("%s: %s is year %d", tt.track, free, year)
		}
		if year, ok := track.YearOf(free.AddDays(1)); !ok || year != 1 {
			t.Errorf("%s: the day after %s is year %d", tt.track, free, year)
		}
		for _, y := range track.Years {
			first := y.First
			if first == free { // that day's release is free
				first = first.AddDays(1)
			}
			for _, day := range []civil.Date{first, y.Last} {
				if year, ok := track.YearOf(day); !ok || year != y.Year {
					t.Errorf("%s: %s is year %d, want %d", tt.track, day, year, y.Year)
				}
			}
		}
		if year, ok := track.YearOf(track.LastDay().AddDays(1)); ok {
			t.Errorf("%s: the day after the last is year %d", tt.track, year)
		}
	}
}

// The first covered release is that of February 2020, and the release on a
// year's last day belongs to the year that ends.
func TestFirstCoveredRelease(t *testing.T) { // rule P1
	p := load(t, "windows-7")
	track, _ := p.Track("windows-7")
	for month, want := range map[string]program.Year{"2020-01": program.Free, "2020-02": 1, "2021-01": 1, "2021-02": 2, "2022-01": 2, "2022-02": 3, "2023-01": 3} {
		first := civil.MustParse(month + "-01")
		if got, ok := track.YearOf(p.Calendar.ReleaseDay(first.Year(), first.Month())); !ok || got != want {
			t.Errorf("the release of %s is year %d, want %d", month, got, want)
		}
	}
	for _, track := range p.Tracks {
		for _, y := range track.Years {
			printed := track.ID == "windows-embedded-posready-7" && y.Year != 2 // as printed, and no release days
			if p.Calendar.Regular(y.Last) == printed {
				t.Errorf("%s year %d ends on %s", track.ID, y.Year, y.Last)
			}
		}
	}
}

func TestEditions(t *testing.T) { // rules P3, P11
	p := load(t, "windows-7")
	for name, want := range map[string]string{
		"Windows 7 Professional SP1":                                    "professional",
		"Windows 7 Professional N SP1":                                  "professional-n",
		"Windows 7 Enterprise Service Pack 1":                           "enterprise",
		"Windows 7 Enterprise N SP1":                                    "enterprise-n",
		"Windows 7 Professional without Service Pack 1":                 "professional-rtm Service Pack 1 is missing",
		"Windows 7 Enterprise RTM":                                      "enterprise-rtm Service Pack 1 is missing",
		"Windows 7 Ultimate SP1":                                        "ultimate Ultimate is not in it",
		"windows 7 home premium":                                        "home-premium home",
		"Windows 7 Home Basic SP1":                                      "home-basic home",
		"Windows 7 Starter SP1":                                         "starter home",
		"Windows 7":                                                     "",
		"Windows 7 Pro*":                                                "",
		"Windows Embedded Standard 7":                                   "embedded-standard",
		"Windows Embedded POSReady 7":                                   "embedded-posready",
		"Windows 7 for Embedded Systems":                                "for-embedded-systems",
		"Windows Server 2008 R2 for Embedded Systems":                   "server-2008-r2-for-embedded-systems",
		"Windows 7 Professional SP1, Windows 7 Professional N SP1":      "",
		"Microsoft SQL Server 2008 R2 for Embedded Systems":             "",
		"Windows 7 Professional Service Pack 1 ":                        "professional",
		"Windows 7 Enterprise N without Service Pack 1":                 "enterprise-n-rtm Service Pack 1 is missing",
		"Windows 7 Professional N without Service Pack 1":               "professional-n-rtm Service Pack 1 is missing",
		"Windows 7 Ultimate N SP1":                                      "ultimate-n Ultimate is not in it",
		"Windows 7 Home Premium N SP1":                                  "home-premium-n home",
		"Windows 7 Professional for Embedded Systems":                   "for-embedded-systems",
		"Windows 7 Professional SP1 Windows 7 Professional SP1 (again)": "",
	} {
		e, ok := p.EditionNamed(name)
		id, why, _ := strings.Cut(want, " ")
		switch {
		case ok != (want != "") || ok && string(e.ID) != id:
			t.Errorf("%q is %v, want %q", name, e, want)
		case !ok:
		case (e.Ineligible != nil) != (why != ""):
			t.Errorf("%q: ineligible is %v", name, e.Ineligible)
		case why == "home" && !e.Ineligible.Home, why != "" && why != "home" && (e.Ineligible.Home || !strings.Contains(e.Ineligible.Reason.String(), why)):
			t.Errorf("%q: %+v", name, e.Ineligible)
		}
	}
	if diff := cmp.Diff([]program.Arch{"x86", "x64"}, p.Architectures); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(p.Notice.String(), "January 14, 2020") || p.Upgrade.String() == "" {
		t.Error("home users have no notice or no advice")
	}
}

func TestCheckPackageLists(t *testing.T) { // rules P3, D10
	client, server := load(t, "windows-7"), load(t, "windows-server-2008")
	if diff := cmp.Diff([]program.UpdateID{"KB4528069"}, client.Check.Updates); diff != "" {
		t.Error(diff)
	}
	since := civil.MustParse("2020-02-11")
	for _, p := range []*program.Program{client, server} {
		if len(p.Check.Needs) != 2 || p.Check.Needs[0].Kinds[0] != "servicing-stack" || p.Check.Needs[1].Kinds[0] != "monthly-rollup" ||
			p.Check.Needs[0].Since != since || p.Check.Needs[1].Since != since {
			t.Errorf("%s: the check package needs %v", p.ID, p.Check.Needs)
		}
	}
	for i := range server.Editions {
		e := &server.Editions[i]
		special := strings.Contains(string(e.ID), "-v") || strings.Contains(string(e.ID), "-core")
		if want := !special && e.Ineligible == nil; e.CheckPackage != want {
			t.Errorf("%s is on the check package's list: %v", e.ID, e.CheckPackage)
		}
		if special && (e.Track == "" || e.Ineligible != nil) {
			t.Errorf("%s is not covered", e.ID)
		}
	}
	for i := range client.Editions {
		e := &client.Editions[i]
		if want := e.Track == "windows-7" && e.Ineligible == nil; e.CheckPackage != want {
			t.Errorf("%s is on the check package's list: %v", e.ID, e.CheckPackage)
		}
	}
}

func TestChannels(t *testing.T) { // rule P4
	p := load(t, "windows-7")
	for id, opens := range map[program.ChannelID]string{"volume": "2019-04-01", "csp": "2019-12-02"} {
		ch, ok := p.Channel(id)
		if !ok || ch.Opens.String() != opens || !cmp.Equal(ch.Tracks, []program.TrackID{"windows-7"}) {
			t.Errorf("channel %s: %+v", id, ch)
		}
	}
	for _, id := range []program.ChannelID{"unified-support", "mpsa"} {
		if _, closed := p.ClosedChannel(id); !closed {
			t.Errorf("%s is not named as closed", id)
		}
		if _, open := p.Channel(id); open {
			t.Errorf("%s is open", id)
		}
	}
	volume, _ := p.Channel("volume")
	csp, _ := p.Channel("csp")
	if volume.Seller != program.SellerOptional || csp.Seller != program.SellerRequired {
		t.Errorf("sellers: %s, %s", volume.Seller, csp.Seller)
	}
	if volume.Returns || !csp.Returns {
		t.Errorf("returns: %v, %v", volume.Returns, csp.Returns)
	}
}

func TestNotCovered(t *testing.T) { // rule P5
	p := load(t, "windows-7")
	for name, advice := range map[string]string{"Windows XP": "Windows 10", "windows vista": "Windows 10", "Office 2010": ""} {
		n, ok := p.NotCoveredNamed(name)
		if !ok || n.Reason.String() == "" || !strings.Contains(n.Advice.String(), advice) || advice == "" && n.Advice != nil {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if n, ok := p.NotCoveredNamed("Windows 7"); ok {
		t.Errorf("Windows 7 is not covered: %+v", n)
	}
}

func TestEmbedded(t *testing.T) { // rule P6
	p := load(t, "windows-7")
	oem, ok := p.Channel("oem")
	if !ok || oem.Contract != "EPSO" || !oem.PricedBySeller || oem.Seller != program.SellerRequired {
		t.Fatalf("%+v", oem)
	}
	for i := range p.Tracks {
		track := &p.Tracks[i]
		if track.Embedded != (track.ID != "windows-7") {
			t.Errorf("%s: embedded is %v", track.ID, track.Embedded)
		}
		for _, ch := range p.Channels {
			sells := false
			for _, id := range ch.Tracks {
				sells = sells || id == track.ID
			}
			if want := track.Embedded == (ch.ID == "oem"); sells != want {
				t.Errorf("%s sells %s: %v", ch.ID, track.ID, sells)
			}
		}
	}
	n, ok := p.NotCoveredNamed("SQL Server 2008 R2 for Embedded Systems")
	if !ok || !n.Embedded || !strings.Contains(n.Advice.String(), "ask your device's OEM") {
		t.Errorf("%+v", n)
	}
}

func TestComponents(t *testing.T) { // rule P7
	ends := map[program.ComponentID]string{
		"internet-explorer-11": "", "dotnet-3.5-sp1": "", "dotnet-4.5.2": "2022-04-26", "dotnet-4.6": "2022-04-26", "dotnet-4.6.1": "2022-04-26",
		"dotnet-4.6.2": "", "dotnet-4.7": "", "dotnet-4.7.1": "", "dotnet-4.7.2": "", "dotnet-4.8": "",
	}
	for _, id := range []string{"windows-7", "windows-server-2008"} {
		p := load(t, id)
		got := map[program.ComponentID]string{}
		var left []program.ComponentID // on servers, when the rest has ended
		for _, c := range p.Components {
			got[c.ID] = c.Ends.String()
			if !c.Ends.Over(civil.MustParse("2022-04-27")) && len(c.Absent) == 0 && strings.HasPrefix(string(c.ID), "dotnet") {
				left = append(left, c.ID)
			}
			if c.Ends.Over(civil.MustParse("2022-04-26")) {
				t.Errorf("%s: %s ends a day early", id, c.ID)
			}
		}
		if diff := cmp.Diff(ends, got); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
		if diff := cmp.Diff([]program.ComponentID{"dotnet-3.5-sp1", "dotnet-4.6.2"}, left); diff != "" {
			t.Errorf("%s: %s", id, diff)
		}
	}
}

func TestUngatedContent(t *testing.T) { // rule P8
	p := load(t, "windows-7")
	got := map[string]string{}
	for _, u := range p.Ungated {
		got[u.ID] = strings.TrimSpace(u.Version + " " + u.Ends.String())
	}
	want := map[string]string{
		"mse-definitions": "", "mse-platform": "2020-01-14",
		"scep-2012": "4.10.209 2022-07-31", "scep-current-branch": "4.10.209 2023-01-31",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for id, want := range map[program.KindID]bool{
		"servicing-stack": true, "preparation-package": true, "check-package": true, "signature-support": true, "definitions": true,
		"monthly-rollup": false, "security-only": false, "ie-cumulative": false, "out-of-band": false,
	} {
		if k, ok := p.Kind(id); !ok || k.Ungated != want {
			t.Errorf("kind %s: %+v", id, k)
		}
	}
}

// The servers' program is its own: a file, and nothing but a file.
func TestServers(t *testing.T) { // rule P13
	client, server := load(t, "windows-7"), load(t, "windows-server-2008")
	if client.Activation.ListAll || !server.Activation.ListAll {
		t.Error("which listing needs 'all'")
	}
	preparation := func(p *program.Program) (ids []program.UpdateID, restarts int) {
		for _, r := range p.Prerequisites {
			if r.Role == program.RolePreparation {
				return r.AnyOf, r.Restarts
			}
		}
		return nil, 0
	}
	ids, restarts := preparation(server)
	if !cmp.Equal(ids[:2], []program.UpdateID{"KB4538484", "KB4575904"}) || restarts != 2 {
		t.Errorf("servers: %v, %d restarts", ids, restarts)
	}
	ids, restarts = preparation(client)
	if !cmp.Equal(ids, []program.UpdateID{"KB4538483", "KB4575903"}) || restarts != 1 {
		t.Errorf("clients: %v, %d restarts", ids, restarts)
	}
	if server.Check.Updates[0] != "KB4528081" {
		t.Errorf("check package %v", server.Check.Updates)
	}
	for _, y := range server.Tracks[0].Years {
		if (y.Only == program.OnlyCloud) != (y.Year == 4) {
			t.Errorf("year %d is limited to %q", y.Year, y.Only)
		}
		if _, sold := server.SKU(server.Tracks[0].ID, y.Year); sold == (y.Year == 4) {
			t.Errorf("year %d is sold: %v", y.Year, sold)
		}
	}
}

func TestPrerequisites(t *testing.T) { // rule D1
	type step struct {
		ID       program.PrerequisiteID
		Role     program.Role
		First    program.UpdateID
		From     string
		Restarts int
	}
	want := []step{
		{"servicing-stack-sha2", program.RoleServicingStack, "KB4490628", "", 1},
		{"sha2-support", program.RoleSignature, "KB4474419", "", 1},
		{"servicing-stack", program.RoleServicingStack, "KB4516655", "", 0},
		{"licensing-update", program.RoleLicensing, "KB4519976", "", 1},
		{"preparation-package", program.RolePreparation, "KB4538483", "2020-02-11", 1},
	}
	var got []step
	p := load(t, "windows-7")
	for _, r := range p.Prerequisites {
		got = append(got, step{r.ID, r.Role, r.AnyOf[0], r.From.String(), r.Restarts})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	k, _ := p.Kind("preparation-package")
	if !cmp.Equal(k.NotOn, []program.DeliveryID{"direct"}) {
		t.Errorf("the preparation package is not on %v", k.NotOn)
	}
	var delivery []string
	for _, d := range p.Delivery {
		delivery = append(delivery, strings.TrimSpace(string(d.ID)+" "+d.LeastVersion))
	}
	if diff := cmp.Diff([]string{"direct", "on-premises-server", "fleet-manager 1910", "catalog"}, delivery); diff != "" {
		t.Error(diff)
	}
}

func TestKeys(t *testing.T) { // rules K19, K20
	p := load(t, "windows-7")
	track, _ := p.Track("windows-7")
	for i, id := range []program.ActivationID{
		"77db037b-95c3-48d7-a3ab-a9c6d41093e0", "0e00c25d-8795-4fb7-9572-3803d91b6880", "4220f546-f522-46df-8202-4d07afd26454",
	} {
		year := string(rune('1' + i))
		y := track.Years[i]
		want := program.KeyNames{
			Portal: "Windows 7 Ext Security Year " + year + " MAK", Tool: "ESU Add-on MAK",
			Device: "Windows(R) 7, Client-ESU-Year" + year + " add-on for Enterprise,EnterpriseN,Professional,ProfessionalN",
		}
		if y.ActivationID != id || y.Key != want {
			t.Errorf("year %s: %s, %+v", year, y.ActivationID, y.Key)
		}
	}
	for _, own := range []string{"ae2ee509-1b34-41c0-acb7-6d4650168915", "bd3762d7-270d-4760-8000-000000000000"} {
		known := false
		for _, f := range p.ForeignKeys {
			known = known || strings.HasPrefix(own, f.Prefix)
		}
		if !known {
			t.Errorf("%s is not known as the product's own", own)
		}
	}
	// No year's own id is taken for a foreign one.
	for _, track := range p.Tracks {
		for _, y := range track.Years {
			for _, f := range p.ForeignKeys {
				if strings.HasPrefix(string(y.ActivationID), f.Prefix) {
					t.Errorf("%s is foreign", y.ActivationID)
				}
			}
		}
	}
}

func TestSKUs(t *testing.T) { // rules B4, B13
	p := load(t, "windows-7")
	for year, name := range map[program.Year]string{
		1: "Windows 7 Extended Security Updates 2020", 2: "Windows 7 Extended Security Updates 2021", 3: "Windows 7 Extended Security Updates 2022",
	} {
		s, ok := p.SKU("windows-7", year)
		if !ok || s.Name != name || !cmp.Equal(s.Place, []string{"Subscription software", "Software"}) {
			t.Errorf("year %d: %+v", year, s)
		}
	}
	for query, want := range map[string][]program.SKUID{
		"ESU": {"windows-7-2020", "windows-7-2021", "windows-7-2022"}, "esu": {"windows-7-2020", "windows-7-2021", "windows-7-2022"},
		"software": {"windows-7-2020", "windows-7-2021", "windows-7-2022"}, "ZCSP-SS/F0FL732N": {"windows-7-2020"},
		"windows 7 extended security updates 2021": {"windows-7-2021"}, "Office": nil,
	} {
		var got []program.SKUID
		for _, s := range p.Offers(query) {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Offers(%q): %s", query, diff)
		}
	}
}

func TestPrices(t *testing.T) { // rules B7, B10
	got := map[string]string{}
	for _, id := range []string{"windows-7", "windows-10"} {
		for _, l := range load(t, id).Prices {
			key := strings.Join([]string{string(l.Track), string(l.List), string(l.Channel), string(l.Qualification), l.From.String()}, " ")
			var amounts []string
			for year := program.Year(1); year <= 3; year++ {
				if a, ok := l.Years[year]; ok {
					amounts = append(amounts, a.String())
				}
			}
			got[key] = strings.Join(amounts, " ")
		}
	}
	want := map[string]string{
		"windows-7 vendor volume  2019-04-01":                            "USD 50.00 USD 100.00 USD 200.00",
		"windows-7 vendor volume windows-enterprise-sa-or-e3 2019-04-01": "USD 25.00 USD 50.00 USD 100.00",
		"windows-7 vendor csp  2019-12-02":                               "USD 50.00 USD 100.00 USD 200.00",
		"windows-7 shop csp  2019-12-02":                                 "JPY 7259",
		"windows-10 vendor volume  2024-11-01":                           "USD 61.00 USD 122.00 USD 244.00",
		"windows-10 vendor volume education 2024-11-01":                  "USD 1.00 USD 2.00 USD 4.00",
		"windows-10 vendor csp  2025-09-01":                              "USD 61.00 USD 122.00 USD 244.00",
		"windows-10 vendor csp education 2025-09-01":                     "USD 1.00 USD 2.00 USD 4.00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	p := load(t, "windows-7")
	if p.DefaultList() != "vendor" || p.InvoiceDay != 6 {
		t.Errorf("default list %s, invoice day %d", p.DefaultList(), p.InvoiceDay)
	}
	e3, _ := p.Qualification("windows-enterprise-sa-or-e3")
	education, _ := p.Qualification("education") // rule B8
	if !cmp.Equal(e3.Channels, []program.ChannelID{"volume"}) || e3.CommonPrice ||
		!cmp.Equal(education.Channels, []program.ChannelID{"csp"}) || !education.CommonPrice {
		t.Errorf("%+v %+v", e3, education)
	}
}

func TestRights(t *testing.T) { // rule L5
	p := load(t, "windows-7")
	for origin, want := range map[string]program.RightAfter{
		"windows-7-oem": program.RightKept, "windows-8-oem-downgrade": program.RightKept, "windows-10-oem-downgrade": program.RightWithCoverage,
	} {
		if r, ok := p.Right(origin); !ok || r.After != want {
			t.Errorf("%s: %+v", origin, r)
		}
	}
	if r, ok := p.Right("retail"); ok {
		t.Errorf("retail is in the table: %+v", r)
	}
}

func TestCovered(t *testing.T) {
	p := load(t, "windows-7")
	if diff := cmp.Diff([]program.Rating{"Important", "Critical"}, p.Ratings.Covered); diff != "" {
		t.Error(diff)
	}
	if p.TimeZone != "America/Los_Angeles" || p.Calendar.Week != 2 || time.Weekday(p.Calendar.Weekday) != time.Tuesday {
		t.Errorf("%s %+v", p.TimeZone, p.Calendar)
	}
}

// The texts that people meet are there in all four languages.
func TestTextsOfWindows7(t *testing.T) {
	p := load(t, "windows-7")
	check := func(what string, text program.Text) {
		for _, lang := range []string{"en", "nl", "pl", "ja"} {
			if text[lang] == "" {
				t.Errorf("%s has no text in %s", what, lang)
			}
		}
	}
	check("the notice", p.Notice)
	check("the advice", p.Upgrade)
	for _, e := range p.Editions {
		if e.Ineligible != nil {
			check(e.Name, e.Ineligible.Reason)
		}
	}
	for _, r := range p.Prerequisites {
		check(string(r.ID), r.Name)
	}
	for _, ch := range p.Channels {
		check(ch.Name, ch.Ask)
	}
}

func TestAppliance(t *testing.T) {
	p := load(t, "appliance-os")
	track := &p.Tracks[0]
	if year, ok := track.YearOf(civil.MustParse("2026-11-21")); !ok || year != 2 {
		t.Errorf("2026-11-21 is year %d", year)
	}
	currencies := map[money.Currency]bool{}
	for i := range p.Prices {
		if l := &p.Prices[i]; !l.Planned {
			currencies[l.Currency()] = true
		}
	}
	if !currencies["EUR"] || !currencies["USD"] {
		t.Errorf("prices in %v", currencies)
	}
}

// Every dated row of a history is of a kind that its program knows, on a day
// that such a kind comes on, and in the year that the row says.
func TestHistories(t *testing.T) { // rule P1
	for id, rows := range map[string]int{"windows-7": 121, "windows-10": 9, "windows-server-2012": 33} {
		p := load(t, id)
		text, ok := programs.History(id)
		if !ok {
			t.Errorf("%s has no history", id)
			continue
		}
		records, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"month", "date", "kb", "kind", "supersedes", "esu_year"}, records[0]); diff != "" {
			t.Error(diff)
		}
		if got := len(records) - 1; got != rows {
			t.Errorf("%s: %d rows, want %d", id, got, rows)
		}
		seen, undated, noYear := map[string]bool{}, 0, 0
		for _, r := range records[1:] {
			kb := r[2]
			if _, err := program.ParseUpdateID(kb); err != nil || seen[kb] {
				t.Errorf("%s: %q, %v", id, kb, err)
			}
			seen[kb] = true
			k, known := p.KindNamed(r[3])
			if !known {
				t.Errorf("%s: %s is of no kind: %q", id, kb, r[3])
				continue
			}
			if r[5] == "" {
				noYear++
			}
			if r[1] == "" {
				undated++
				continue
			}
			day := civil.MustParse(r[1])
			if !strings.HasPrefix(r[1], r[0]) || !k.OutOfBand && !p.Calendar.Regular(day) {
				t.Errorf("%s: %s came on %s", id, kb, day)
			}
			year, ok := p.Tracks[0].YearOf(day)
			says := map[string]program.Year{"free (last)": program.Free, "1": 1, "2": 2, "3": 3, "": year}
			if want, given := says[r[5]]; !ok || !given || year != want {
				t.Errorf("%s: %s of %s is year %d, and says %q", id, kb, day, year, r[5])
			}
		}
		if id == "windows-7" && (undated != 4 || noYear != 9) {
			t.Errorf("%d rows without a day and %d without a year", undated, noYear)
		}
	}
	if _, ok := programs.History("appliance-os"); ok {
		t.Error("the appliance has a history")
	}
}
