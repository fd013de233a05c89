package trust

import (
	"bytes"
	"maps"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// FuzzMetadata: whatever a server offers in the place of a file, a client answers
// with an error and does not fall. The server has the online keys and lists files
// without digests, so that they are read at all.
func FuzzMetadata(f *testing.F) {
	v := newVendor(f)
	roles := v.roles()
	for role, r := range roles {
		r.bare = true
		roles[role] = r
	}
	set := v.steal(v.set(), 2, 2, roles)
	held, _, err := verify(v.repo.Roots[0], nil, set.source, asIssued, nil)
	fatal(f, err)
	for _, name := range sortedKeys(set) {
		data := set[name]
		f.Add(data)
		f.Add(bytes.ReplaceAll(data, []byte(`"public":"`), []byte(`"public":"00`)))
		f.Add(bytes.ReplaceAll(data, []byte(`{}`), []byte(`null`)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range []string{timestampName, "2.root.json", "1.targets.json", "1.windows-7.json"} {
			offered := maps.Clone(set)
			offered[name] = data
			got, _, err := verify(v.repo.Roots[0], nil, offered.source, asIssued, nil)
			if err != nil {
				continue
			}
			// Space and order are free in a file that nothing lists by digest.
			same(t, "versions with another "+name, held.versions, got.versions)
			same(t, "entries with another "+name, held.entries(), got.entries())
		}
		_, _, _ = verify(data, nil, set.source, asIssued, nil)
		if m, err := parse[metadata.TargetsType]("", data); err == nil {
			_, _ = delegations(m)
			_, _ = entries(Role(win), m)
			_, _ = entries(Targets, m)
		}
	})
}
