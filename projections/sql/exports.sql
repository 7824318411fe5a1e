-- one row a copy of the ledger that left the house, with the digests of its files
-- Ordered by position, which is unique.
CREATE VIEW exports AS
SELECT
  position,
  make_timestamptz(time_us)                    AS time,
  payload->>'$.format'                         AS format,
  TRY_CAST(payload->>'$.size' AS BIGINT)       AS entries,     -- the prefix that was copied
  payload->>'$.checkpoint'                     AS checkpoint,  -- the signed head it was copied at
  payload->>'$.files[*].path'                  AS files,
  payload->>'$.files[*].sha256'                AS sha256,      -- in the same order
  command                                      AS command_id,
  lower(hex(hash))                             AS hash
FROM entries
WHERE type = 'ledger.exported/1'
ORDER BY position;
