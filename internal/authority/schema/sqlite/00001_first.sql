-- +goose Up

-- What the authority is: its id, its epoch, sealed online keys.
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT;

-- Every version of every program file that was ever in force (rule P14).
CREATE TABLE programs (
	program     TEXT    NOT NULL,
	version     INTEGER NOT NULL,
	valid_from  TEXT    NOT NULL,
	file        BLOB    NOT NULL,
	imported_at INTEGER NOT NULL,
	PRIMARY KEY (program, version)
) STRICT;

CREATE TABLE operators (
	id         TEXT PRIMARY KEY,
	name       TEXT    NOT NULL UNIQUE,
	roles      TEXT    NOT NULL, -- words joined by blanks
	tenant     TEXT    NOT NULL DEFAULT '', -- a customer's id, '*' for the vendor's staff
	partner    TEXT    NOT NULL DEFAULT '',
	created_at INTEGER NOT NULL,
	ended_at   INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE tokens (
	id         TEXT PRIMARY KEY,
	digest     BLOB    NOT NULL UNIQUE,
	operator   TEXT    NOT NULL REFERENCES operators (id),
	scopes     TEXT    NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL,
	revoked_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX tokens_operator ON tokens (operator);

CREATE TABLE customers (
	id             TEXT PRIMARY KEY,
	name           TEXT    NOT NULL,
	folded         TEXT    NOT NULL UNIQUE, -- the name as it is compared
	tenant_id      TEXT    NOT NULL DEFAULT '',
	country        TEXT    NOT NULL DEFAULT '',
	language       TEXT    NOT NULL DEFAULT 'en',
	contact        TEXT    NOT NULL DEFAULT '',
	qualifications TEXT    NOT NULL DEFAULT '', -- words joined by blanks
	version        INTEGER NOT NULL DEFAULT 0, -- locks the customer's holdings
	created_at     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX customers_tenant_id ON customers (tenant_id) WHERE tenant_id <> '';

CREATE TABLE partners (
	id         TEXT PRIMARY KEY,
	name       TEXT    NOT NULL,
	folded     TEXT    NOT NULL UNIQUE,
	kind       TEXT    NOT NULL, -- direct, provider, reseller, licensing, oem
	provider   TEXT    NOT NULL DEFAULT '',
	country    TEXT    NOT NULL DEFAULT '',
	contact    TEXT    NOT NULL DEFAULT '',
	channels   TEXT    NOT NULL DEFAULT '', -- for which it is registered
	created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE agreements (
	id         TEXT PRIMARY KEY,
	customer   TEXT    NOT NULL REFERENCES customers (id),
	program    TEXT    NOT NULL,
	channel    TEXT    NOT NULL,
	number     TEXT    NOT NULL UNIQUE,
	partner    TEXT    NOT NULL DEFAULT '',
	contract   TEXT    NOT NULL DEFAULT '',
	holder     TEXT    NOT NULL DEFAULT '', -- who holds the contract: oem or customer
	valid_from TEXT    NOT NULL DEFAULT '', -- the contract's days; '' is open
	valid_last TEXT    NOT NULL DEFAULT '',
	created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX agreements_customer ON agreements (customer);

CREATE TABLE orders (
	id        TEXT PRIMARY KEY,
	customer  TEXT    NOT NULL REFERENCES customers (id),
	program   TEXT    NOT NULL,
	version   INTEGER NOT NULL, -- of the program file that priced it
	track     TEXT    NOT NULL,
	channel   TEXT    NOT NULL,
	seller    TEXT    NOT NULL DEFAULT '',
	provider  TEXT    NOT NULL DEFAULT '',
	agreement TEXT    NOT NULL DEFAULT '',
	contract  TEXT    NOT NULL DEFAULT '',
	holder    TEXT    NOT NULL DEFAULT '', -- of the contract (rule P6)
	currency  TEXT    NOT NULL,
	total     INTEGER NOT NULL,
	day       TEXT    NOT NULL, -- in the program's time zone
	placed_at INTEGER NOT NULL,
	actor     TEXT    NOT NULL
) STRICT;
CREATE INDEX orders_customer ON orders (customer, program, track);
CREATE INDEX orders_placed ON orders (placed_at, id);
CREATE INDEX orders_seller ON orders (seller, customer) WHERE seller <> '';
CREATE INDEX orders_provider ON orders (provider, customer) WHERE provider <> '';

CREATE TABLE order_lines (
	order_id TEXT    NOT NULL REFERENCES orders (id),
	year     INTEGER NOT NULL,
	sku      TEXT    NOT NULL,
	quantity INTEGER NOT NULL CHECK (quantity > 0),
	returned INTEGER NOT NULL DEFAULT 0 CHECK (returned >= 0 AND returned <= quantity),
	unit     INTEGER NOT NULL,
	amount   INTEGER NOT NULL,
	PRIMARY KEY (order_id, year)
) STRICT;

CREATE TABLE order_returns (
	id          TEXT PRIMARY KEY,
	order_id    TEXT    NOT NULL REFERENCES orders (id),
	year        INTEGER NOT NULL,
	quantity    INTEGER NOT NULL CHECK (quantity > 0),
	amount      INTEGER NOT NULL,
	day         TEXT    NOT NULL,
	returned_at INTEGER NOT NULL,
	actor       TEXT    NOT NULL
) STRICT;
CREATE INDEX order_returns_order ON order_returns (order_id);

-- What seals the product keys, itself sealed by a key from outside the data folder.
CREATE TABLE keysets (
	id         TEXT PRIMARY KEY,
	sealed     BLOB NOT NULL,
	created_at INTEGER NOT NULL
) STRICT;

-- One key per customer, track and year (rule K1). A key that is being counted
-- is locked by raising its version.
CREATE TABLE product_keys (
	id         TEXT PRIMARY KEY,
	customer   TEXT    NOT NULL REFERENCES customers (id),
	program    TEXT    NOT NULL,
	track      TEXT    NOT NULL,
	year       INTEGER NOT NULL,
	ref        BLOB    NOT NULL UNIQUE,
	sealed     BLOB    NOT NULL, -- the key itself, encrypted
	last_five  TEXT    NOT NULL,
	seats      INTEGER NOT NULL CHECK (seats >= 0),
	allowance  INTEGER NOT NULL DEFAULT 0 CHECK (allowance >= 0),
	raised     INTEGER NOT NULL DEFAULT 0 CHECK (raised >= 0),
	used       INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
	blocked    TEXT    NOT NULL DEFAULT '', -- the reason, or nothing
	version    INTEGER NOT NULL DEFAULT 0,
	created_at INTEGER NOT NULL,
	UNIQUE (customer, program, track, year)
) STRICT;

-- Requests for another limit, and what became of them (rules K6, K18).
CREATE TABLE limit_requests (
	id         TEXT PRIMARY KEY,
	key_id     TEXT NOT NULL REFERENCES product_keys (id),
	kind       TEXT NOT NULL, -- raise, correct
	state      TEXT NOT NULL, -- open, granted, refused
	wanted     INTEGER NOT NULL,
	granted    INTEGER NOT NULL DEFAULT 0,
	reason     TEXT NOT NULL,
	region     TEXT NOT NULL DEFAULT '',
	contact    TEXT NOT NULL DEFAULT '',
	asked_at   INTEGER NOT NULL,
	asked_by   TEXT NOT NULL,
	decided_at INTEGER NOT NULL DEFAULT 0,
	decided_by TEXT NOT NULL DEFAULT '',
	decision   TEXT NOT NULL DEFAULT '' -- in the words of who decided
) STRICT;
CREATE INDEX limit_requests_key ON limit_requests (key_id);

CREATE TABLE activations (
	key_id       TEXT    NOT NULL REFERENCES product_keys (id),
	ordinal      INTEGER NOT NULL, -- of the seat, from 1
	fingerprint  BLOB    NOT NULL,
	public_key   BLOB    NOT NULL,
	license_id   TEXT    NOT NULL UNIQUE,
	license      TEXT    NOT NULL,
	kind         TEXT    NOT NULL,
	facts        BLOB    NOT NULL, -- digest
	activated_at INTEGER NOT NULL,
	PRIMARY KEY (key_id, fingerprint),
	UNIQUE (key_id, ordinal)
) STRICT;
CREATE INDEX activations_fingerprint ON activations (fingerprint);

CREATE TABLE facts (
	digest BLOB PRIMARY KEY,
	body   BLOB NOT NULL
) STRICT;

-- What installations say of themselves in their reports. A row is locked by
-- raising its version; last_seen and counter may lag an hour behind.
CREATE TABLE installations (
	fingerprint BLOB    PRIMARY KEY,
	public_key  BLOB    NOT NULL, -- bound by the first report
	program     TEXT    NOT NULL,
	facts       BLOB    NOT NULL, -- digest
	licenses    BLOB    NOT NULL, -- digest
	counter     INTEGER NOT NULL, -- the highest that it reported
	cloned_at   INTEGER NOT NULL DEFAULT 0, -- when two branches of the counter were seen last
	first_seen  INTEGER NOT NULL,
	last_seen   INTEGER NOT NULL,
	version     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The licenses that an installation showed last, unverified, one a line. Apart,
-- so that the rows that are written every hour stay small.
CREATE TABLE installation_licenses (
	fingerprint BLOB    PRIMARY KEY REFERENCES installations (fingerprint),
	licenses    TEXT    NOT NULL
) STRICT;

-- Keys that nobody was sold: one row a minute, however many guesses.
CREATE TABLE unknown_keys (
	minute INTEGER PRIMARY KEY,
	tries  INTEGER NOT NULL
) STRICT;

CREATE TABLE releases (
	program     TEXT    NOT NULL,
	update_id   TEXT    NOT NULL,
	state       TEXT    NOT NULL, -- staged, queued, released, withdrawn
	manifest    BLOB    NOT NULL, -- sealed until the release instant
	instant     INTEGER NOT NULL,
	staged_at   INTEGER NOT NULL,
	released_at INTEGER NOT NULL DEFAULT 0,
	history     INTEGER NOT NULL DEFAULT 0, -- 1: imported, not published here
	actor       TEXT    NOT NULL,
	PRIMARY KEY (program, update_id)
) STRICT;

CREATE TABLE no_releases (
	program TEXT    NOT NULL,
	month   TEXT    NOT NULL, -- YYYY-MM in which nothing was in coverage (rule D3)
	at      INTEGER NOT NULL,
	actor   TEXT    NOT NULL,
	PRIMARY KEY (program, month)
) STRICT;

-- The next version of a program's role while publishers sign it, sealed.
CREATE TABLE role_drafts (
	program TEXT    NOT NULL,
	version INTEGER NOT NULL,
	instant INTEGER NOT NULL,
	state   TEXT    NOT NULL, -- open, signed
	body    BLOB    NOT NULL,
	PRIMARY KEY (program, version, instant)
) STRICT;

-- One row: what the room's acts compare and swap.
CREATE TABLE repository (
	id        INTEGER PRIMARY KEY CHECK (id = 1),
	epoch     INTEGER NOT NULL, -- raised by a restore
	version   INTEGER NOT NULL, -- raised by every act
	published INTEGER NOT NULL, -- raised by every publication
	floor     BLOB NOT NULL -- versions by role, seen in public before a restore
) STRICT;

-- The signed metadata as it is served. Files that are no longer listed stay for those
-- who are on their way through.
CREATE TABLE metadata (
	name    TEXT PRIMARY KEY, -- of the file
	epoch   INTEGER NOT NULL,
	body    BLOB NOT NULL,
	at      INTEGER NOT NULL,
	listed  INTEGER NOT NULL
) STRICT;
CREATE INDEX metadata_listed ON metadata (listed);

CREATE TABLE audit (
	writer   TEXT    NOT NULL,
	seq      INTEGER NOT NULL,
	previous BLOB    NOT NULL,
	hash     BLOB    NOT NULL,
	at       INTEGER NOT NULL,
	actor    TEXT    NOT NULL,
	act      TEXT    NOT NULL,
	object   TEXT    NOT NULL,
	tenant   TEXT    NOT NULL,
	detail   BLOB    NOT NULL,
	PRIMARY KEY (writer, seq)
) STRICT;
CREATE INDEX audit_object ON audit (object);

CREATE TABLE audit_heads (
	writer  TEXT PRIMARY KEY,
	seq     INTEGER NOT NULL,
	hash    BLOB    NOT NULL,
	version INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Answers to writes that carried an Idempotency-Key.
CREATE TABLE idempotency (
	principal TEXT    NOT NULL,
	route     TEXT    NOT NULL,
	key       TEXT    NOT NULL,
	request   BLOB    NOT NULL, -- digest of the body
	status    INTEGER NOT NULL,
	response  BLOB    NOT NULL,
	at        INTEGER NOT NULL,
	PRIMARY KEY (principal, route, key)
) STRICT;
