package trust

import (
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// This is the one place that says by which instant expiry is judged. Nothing
// else in the package touches RefTime, and no other check depends on it:
// signatures, versions and digests are held to whatever the clock says.

// judge is the instant to judge by, given what the timestamp at hand says of
// itself. That is not verified yet when it is asked, but nothing is accepted
// unless the timestamp's signature then holds.
type judge func(issued time.Time) time.Time

// byClock judges by now. A clock that lags behind what the vendor has signed
// already is corrected, so a device that woke up in 1970 is not frozen there.
func byClock(now time.Time) judge {
	return func(issued time.Time) time.Time {
		if issued.After(now) {
			return issued
		}
		return now
	}
}

// asIssued judges as of the signed instant: for offline bundles, and for opening
// the last verified state.
func asIssued(issued time.Time) time.Time { return issued }

// asOf sets what expiry is judged by from here on.
func asOf(set *trustedmetadata.TrustedMetadata, at time.Time) { set.RefTime = at }
