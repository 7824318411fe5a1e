-- one row a question: the SQL that was asked of the ledger, how many rows it gave, and the receipt it got
-- Ordered by position, which is unique.
CREATE VIEW queries AS
WITH receipts AS (
  SELECT command, arg_max(payload->>'$.sha256', position) AS sha256
  FROM entries WHERE type = 'query.receipt_issued/1' GROUP BY command
)
SELECT
  q.position,
  make_timestamptz(q.time_us)                  AS time,
  q.payload->>'$.sql'                          AS sql,             -- redacted
  q.payload->>'$.sql_sha256'                   AS sql_sha256,      -- of the statement as it ran
  TRY_CAST(q.payload->>'$.head' AS BIGINT)     AS head,            -- the prefix of the ledger that was asked
  TRY_CAST(q.payload->>'$.as_of' AS BIGINT)    AS as_of,           -- the same, where it was named; NULL: the newest
  TRY_CAST(q.payload->>'$.rows' AS BIGINT)     AS rows,
  r.sha256                                     AS receipt_sha256,  -- of the signed envelope; NULL: none was asked for
  q.command                                    AS command_id,
  lower(hex(q.hash))                           AS hash
FROM entries AS q
LEFT JOIN receipts AS r ON r.command = q.command
WHERE q.type = 'query.executed/1'
ORDER BY q.position;
