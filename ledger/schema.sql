-- One statement a paragraph. A ledger's schema must equal this literally; anything more or less is refused.

CREATE TABLE commits (
  first INTEGER PRIMARY KEY,   -- position of its first entry
  count INTEGER NOT NULL,
  author BLOB NOT NULL,        -- key id: SHA-256 of the public key
  command TEXT NOT NULL,       -- UUIDv7
  logged INTEGER NOT NULL,     -- microseconds since 1970, never decreasing
  envelope BLOB NOT NULL,      -- the author's DSSE envelope, exact bytes
  checkpoint TEXT NOT NULL     -- the log's signed note over the tree after this commit
) STRICT;

CREATE TABLE entries (
  rowid INTEGER PRIMARY KEY AUTOINCREMENT,   -- the position: 1, 2, 3, no gaps
  originator_id TEXT NOT NULL,               -- the stream
  originator_version INTEGER NOT NULL,
  topic TEXT NOT NULL,                       -- event type and version
  "commit" INTEGER NOT NULL,                 -- commits.first
  time INTEGER NOT NULL,                     -- microseconds since 1970, the author's claim
  payload BLOB NOT NULL,                     -- SHA-256(salt || body)
  size INTEGER NOT NULL,                     -- of the body, in bytes
  hash BLOB NOT NULL                         -- SHA-256(0x00 || header)
) STRICT;

CREATE UNIQUE INDEX entries_stream ON entries (originator_id, originator_version);

CREATE TABLE payloads (
  position INTEGER PRIMARY KEY,
  salt BLOB NOT NULL,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL,
  hash BLOB NOT NULL,
  frontier BLOB NOT NULL       -- right edge of the tree: popcount(size) hashes
) STRICT;

CREATE TABLE command_index (
  started INTEGER PRIMARY KEY,
  finished INTEGER,
  name TEXT NOT NULL,
  exit_code INTEGER
) STRICT;

CREATE INDEX commits_command ON commits (command);

CREATE INDEX command_open ON command_index (started) WHERE finished IS NULL;

CREATE VIEW stored_events AS
SELECT e.rowid AS rowid, e.originator_id AS originator_id, e.originator_version AS originator_version, e.topic AS topic, p.body AS state
FROM entries AS e JOIN payloads AS p ON p.position = e.rowid;

CREATE TRIGGER commits_keep BEFORE UPDATE ON commits BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER commits_stay BEFORE DELETE ON commits BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER entries_stay BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER payloads_keep BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER payloads_stay BEFORE DELETE ON payloads BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TRIGGER head_stays BEFORE DELETE ON head BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
