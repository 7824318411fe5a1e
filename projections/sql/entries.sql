-- the base of every view: one row an entry as it was sealed; times in microseconds since 1970, digests as bytes
CREATE TABLE IF NOT EXISTS entries (
  position       BIGINT  NOT NULL,  -- 1, 2, 3, no gaps; rows lie in this order
  stream         VARCHAR NOT NULL,
  version        BIGINT  NOT NULL,  -- in the stream
  type           VARCHAR NOT NULL,  -- name/version of the event
  time_us        BIGINT  NOT NULL,  -- as the author claims it
  logged_us      BIGINT  NOT NULL,  -- as the log decided it; never decreasing
  command        VARCHAR NOT NULL,  -- id of the command that recorded it
  author         VARCHAR NOT NULL,  -- key id, hex
  "commit"       VARCHAR NOT NULL,  -- SHA-256 of the author's envelope, hex
  commit_index   BIGINT  NOT NULL,
  commit_size    BIGINT  NOT NULL,
  -- digests are random bytes: looking for a way to compress them costs a quarter of a rebuild, and saves nothing
  payload_sha256 BLOB    NOT NULL USING COMPRESSION uncompressed,  -- SHA-256(salt || payload)
  size           BIGINT  NOT NULL,  -- of the payload, in bytes
  previous       BLOB    NOT NULL USING COMPRESSION uncompressed,
  hash           BLOB    NOT NULL USING COMPRESSION uncompressed,
  payload        VARCHAR            -- JSON; each text has one reading, which the loader demands. NULL: erased
);
