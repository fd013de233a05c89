package program

import (
	"fmt"
	"maps"
	"slices"

	"github.com/openesu/openesu/civil"
	"github.com/openesu/openesu/money"
)

func (c *checker) commercial() {
	c.channels()
	c.skus()
	c.prices()
	if c.p.InvoiceDay < 1 || c.p.InvoiceDay > 28 {
		c.bad("invoice-day", c.p.InvoiceDay, "a day of the month, 1 to 28")
	}
}

func (c *checker) channels() {
	ids := map[ChannelID]bool{}
	for i := range c.p.Channels {
		ch, path := &c.p.Channels[i], at("channels", i)
		c.slug(path+".id", string(ch.ID))
		unique(c, ids, path+".id", ch.ID)
		if ch.Name == "" || ch.Ask.String() == "" {
			c.missing(path, "name, and whom to ask for a price")
		}
		if ch.Opens.IsZero() {
			c.missing(path+".opens", "the day on which the channel opens")
		}
		if len(ch.Tracks) == 0 {
			c.missing(path+".tracks", "the tracks that it sells")
		}
		for j, t := range ch.Tracks {
			c.track(at(path+".tracks", j), t)
		}
		if !slices.Contains([]SellerRule{SellerNone, SellerOptional, SellerRequired}, ch.Seller) {
			c.bad(path+".seller", ch.Seller, "none, optional or required")
		}
		if ch.Allowance < 0 {
			c.bad(path+".allowance", ch.Allowance, "0 or more")
		}
	}
	if len(ids) == 0 {
		c.missing("channels", "at least one channel")
	}
	for i, ch := range c.p.ClosedChannels {
		c.slug(at("closed-channels", i)+".id", string(ch.ID))
		unique(c, ids, at("closed-channels", i)+".id", ch.ID)
	}
	seen := map[QualificationID]bool{}
	for i := range c.p.Qualifications {
		q, path := &c.p.Qualifications[i], at("qualifications", i)
		c.slug(path+".id", string(q.ID))
		unique(c, seen, path+".id", q.ID)
		if q.Name.String() == "" || len(q.Channels) == 0 {
			c.missing(path, "name and channels")
		}
		for j, id := range q.Channels {
			c.channel(at(path+".channels", j), id)
		}
	}
}

func (c *checker) skus() {
	ids := map[SKUID]bool{}
	sold := map[string]bool{}
	for i := range c.p.SKUs {
		s, path := &c.p.SKUs[i], at("skus", i)
		c.slug(path+".id", string(s.ID))
		unique(c, ids, path+".id", s.ID)
		unique(c, sold, path, fmt.Sprintf("%s year %d", s.Track, s.Year))
		c.trackYear(path, s.Track, s.Year)
		if s.Name == "" || len(s.Place) == 0 {
			c.missing(path, "name, and its place in the price list")
		}
	}
	for i := range c.p.Tracks {
		for j, y := range c.p.Tracks[i].Years {
			if _, ok := c.p.SKU(c.p.Tracks[i].ID, y.Year); !ok && y.Only == "" {
				c.missing(at(at("tracks", i)+".years", j), "a SKU for this year, under skus (rule B4)")
			}
		}
	}
}

func (c *checker) prices() {
	lists := map[ListID]bool{}
	defaults := 0
	for i, l := range c.p.PriceLists {
		c.slug(at("price-lists", i)+".id", string(l.ID))
		unique(c, lists, at("price-lists", i)+".id", l.ID)
		if l.Default {
			defaults++
		}
	}
	if defaults != 1 {
		c.bad("price-lists", fmt.Sprintf("%d defaults", defaults), "at least one list, and one of them the default")
	}
	type slot struct {
		list          ListID
		channel       ChannelID
		track         TrackID
		qualification QualificationID
		currency      money.Currency
		from          civil.Date
		planned       bool
		year          Year
	}
	seen := map[slot]bool{}
	for i := range c.p.Prices {
		l, path := &c.p.Prices[i], at("prices", i)
		if !lists[l.List] {
			c.unknown(path+".list", l.List, "one of price-lists")
		}
		c.channel(path+".channel", l.Channel)
		if ch, ok := c.p.Channel(l.Channel); ok {
			switch {
			case ch.PricedBySeller:
				c.bad(path+".channel", l.Channel, "a channel whose price is public, because here the seller sets it (priced-by-seller)")
			case !slices.Contains(ch.Tracks, l.Track):
				c.bad(path+".track", l.Track, "a track that channel "+string(l.Channel)+" sells")
			}
		}
		if q, ok := c.p.Qualification(l.Qualification); l.Qualification != "" && (!ok || q.CommonPrice) {
			c.unknown(path+".qualification", l.Qualification, "one of qualifications that has a price of its own")
		} else if ok && !slices.Contains(q.Channels, l.Channel) {
			c.bad(path+".qualification", l.Qualification, "a qualification of channel "+string(l.Channel))
		}
		if l.From.IsZero() {
			c.missing(path+".from", "the day from which the price is in force")
		}
		if len(l.Years) == 0 {
			c.missing(path+".years", "a price for at least one year")
			continue
		}
		for _, y := range slices.Sorted(maps.Keys(l.Years)) {
			one := slot{l.List, l.Channel, l.Track, l.Qualification, l.Currency(), l.From, l.Planned, y}
			if seen[one] {
				c.add(fmt.Sprintf("%s.years.%d", path, y), ValueTwice, "value", l.Years[y].String())
			}
			seen[one] = true
		}
		c.priceYears(l, path)
	}
}

// priceYears holds one line to rule B10: one currency, years that exist, and no
// later year cheaper than an earlier one.
func (c *checker) priceYears(l *PriceLine, path string) {
	years := slices.Sorted(maps.Keys(l.Years))
	for i, y := range years {
		key := fmt.Sprintf("%s.years.%d", path, y)
		c.trackYear(key, l.Track, y)
		if i == 0 {
			continue
		}
		before, now := l.Years[years[i-1]], l.Years[y]
		if before.Currency != now.Currency {
			c.bad(key, now, "one currency in a line: "+string(before.Currency))
		} else if now.Minor < before.Minor {
			c.add(key, PriceFalls, "year", y, "price", now, "before", before)
		}
	}
}

func (c *checker) trackYear(path string, track TrackID, year Year) {
	t, ok := c.p.Track(track)
	if !ok {
		c.unknown(path, track, "the id of one of tracks")
		return
	}
	if _, ok := t.Year(year); !ok {
		c.unknown(path, fmt.Sprintf("year %d", year), "a coverage year of track "+string(track))
	}
}

func (c *checker) channel(path string, id ChannelID) {
	if _, ok := c.p.Channel(id); !ok {
		c.unknown(path, id, "one of channels")
	}
}
