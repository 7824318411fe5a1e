-- every event: its header readable, its payload as JSON
-- Ordered by position, which is unique.
CREATE VIEW events AS
SELECT
  position,
  make_timestamptz(time_us)   AS time,    -- UTC, the author's claim
  make_timestamptz(logged_us) AS logged,  -- UTC, the log's
  stream,
  version,
  type,
  command                     AS command_id,
  author,
  "commit",
  commit_index,
  commit_size,
  lower(hex(payload_sha256))  AS payload_sha256,
  size,
  lower(hex(previous))        AS previous,
  lower(hex(hash))            AS hash,
  payload::JSON               AS payload
FROM entries
ORDER BY position;
