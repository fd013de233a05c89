package agent

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/internal/durable"
	"github.com/openesu/openesu/license"
	"github.com/openesu/openesu/problem"
	"github.com/openesu/openesu/program"
)

// maxLicenses is how many licenses are kept for one activation id.
const maxLicenses = 4

// kept is one license on the device. A new one takes no other's place: a server
// that was stolen could else replace coverage without an end by some that ends,
// or that a closed key's list does not name.
type kept struct {
	number  int // in the order in which they came
	id      program.ActivationID
	token   license.Token
	claims  license.Claims
	refusal *problem.Problem // why it does not count; then the claims are but an id
}

func (l *kept) file() string { return fmt.Sprintf("%06d-%s%s", l.number, l.id, licenseEnding) }

// licenses are those on the device, unverified, in the order in which they came.
func (d *Device) licenses() ([]kept, error) {
	entries, err := os.ReadDir(d.path(licensesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []kept
	for _, entry := range entries {
		number, id, _ := strings.Cut(strings.TrimSuffix(entry.Name(), licenseEnding), "-")
		l := kept{id: program.ActivationID(id)}
		if l.number, err = strconv.Atoi(number); err != nil || l.file() != entry.Name() {
			continue // not ours
		}
		path := d.path(licensesDir, entry.Name())
		text, err := durable.ReadFile(path, license.MaxToken+1) // and the line's end
		if errors.Is(err, fs.ErrNotExist) {
			continue // made room just now
		}
		if err != nil {
			return nil, problem.New(problem.Refused, StateDamaged, "file", path, "what", err.Error()).Because(err)
		}
		l.token = license.Token(strings.TrimSpace(string(text)))
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b kept) int { return cmp.Compare(a.number, b.number) })
	return all, nil
}

// judge verifies one license for this installation.
func (k *knowledge) judge(l *kept) {
	set, rejected := license.Verify(k.verifier, []license.Token{l.token})
	if len(rejected) > 0 {
		l.claims, l.refusal = license.Claims{ID: rejected[0].ID}, rejected[0].Problem
		return
	}
	l.claims, l.refusal = set.Claims()[0], nil
}

// choose makes what is held of the licenses that count. Those that last longest
// come first, one for each activation id before any second one, because no more
// than license.MaxShown are shown to servers.
func (k *knowledge) choose() {
	var good []kept
	for _, l := range k.licenses {
		// What says that it is another one is not believed: the first that came is.
		if l.refusal == nil && !slices.ContainsFunc(good, func(have kept) bool { return have.claims.ID == l.claims.ID }) {
			good = append(good, l)
		}
	}
	slices.SortStableFunc(good, k.lasting)
	place, seen := map[int]int{}, map[program.ActivationID]int{}
	for _, l := range good {
		seen[l.id]++
		place[l.number] = seen[l.id]
	}
	slices.SortStableFunc(good, func(a, b kept) int { return cmp.Compare(place[a.number], place[b.number]) })
	k.valid = nil
	for _, l := range good {
		k.valid = append(k.valid, l.token)
	}
	k.held, _ = license.Verify(k.verifier, k.valid)
	k.valid = k.valid[:min(len(k.valid), license.MaxShown)]
}

// lasting orders licenses of one year by what they are worth: first those without
// an end, last those that will never count.
func (k *knowledge) lasting(a, b kept) int {
	worth := func(l kept) []int64 {
		if l.refusal != nil && l.refusal.Kind != problem.Unavailable { // the list of a closed key may still come
			return nil
		}
		until, expires := int64(math.MaxInt64), int64(math.MaxInt64)
		if last := k.verifier.Ended.Last(l.claims.ID); !last.IsZero() {
			until = int64(last.Sub(civil.Date{}))
		}
		if l.claims.ExpiresAt != 0 {
			expires = int64(l.claims.ExpiresAt)
		}
		return []int64{until, expires}
	}
	return slices.Compare(worth(b), worth(a))
}

// keepLicense adds a license that counts to those on the device. Where there are
// too many for its activation id, the one that is worth least makes room, of
// equals the one that came last before it: what was held first is never lost.
func (d *Device) keepLicense(k *knowledge, c license.Claims, token license.Token) error {
	all, err := d.licenses()
	if err != nil {
		return err
	}
	fresh := kept{number: 1, id: c.ActivationID, token: token, claims: c}
	var rivals []kept
	for _, l := range all {
		fresh.number = l.number + 1
		if l.token == token {
			return nil
		}
		if l.id == c.ActivationID {
			k.judge(&l)
			rivals = append(rivals, l)
		}
	}
	slices.SortStableFunc(rivals, k.lasting)
	if n := len(rivals); n >= maxLicenses && k.lasting(fresh, rivals[n-1]) > 0 {
		return nil
	}
	if err := makeFolder(d.path(licensesDir), 0o700); err != nil {
		return err
	}
	if err := durable.WriteFile(d.path(licensesDir, fresh.file()), []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	for _, l := range rivals[min(len(rivals), maxLicenses-1):] {
		if err := remove(d.path(licensesDir, l.file())); err != nil {
			return err
		}
	}
	return nil
}
