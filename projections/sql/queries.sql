-- one row a question: the SQL that was asked of the ledger, and how many rows it gave
-- Ordered by position, which is unique.
CREATE VIEW queries AS
SELECT
  position,
  make_timestamptz(time_us)                    AS time,
  payload->>'$.sql'                            AS sql,         -- redacted
  payload->>'$.sql_sha256'                     AS sql_sha256,  -- of the statement as it ran
  TRY_CAST(payload->>'$.head' AS BIGINT)       AS head,
  TRY_CAST(payload->>'$.as_of' AS BIGINT)      AS as_of,
  TRY_CAST(payload->>'$.rows' AS BIGINT)       AS rows,
  command                                      AS command_id,
  lower(hex(hash))                             AS hash
FROM entries
WHERE type = 'query.executed/1'
ORDER BY position;
