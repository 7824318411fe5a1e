-- one row a digest that entered the ledger: observed (soup hashed the bytes) or declared (an operator typed it)
-- Ordered by position, which is unique.
CREATE VIEW artifacts AS
SELECT
  position,
  make_timestamptz(time_us)                                  AS time,
  payload->>'$.role'                                         AS role,
  payload->>'$.sha256'                                       AS sha256,
  if(type = 'artifact.observed/1', 'observed', 'declared')   AS origin,
  payload->>'$.kind'                                         AS kind,   -- file or directory; NULL: declared
  payload->>'$.path'                                         AS path,
  TRY_CAST(payload->>'$.size' AS BIGINT)                     AS size,   -- bytes
  CASE payload->>'$.kind' WHEN 'file' THEN 1 WHEN 'directory' THEN json_array_length(payload, '$.files') END::BIGINT AS files,
  command                                                    AS command_id,
  lower(hex(hash))                                           AS hash
FROM entries
WHERE type IN ('artifact.observed/1', 'artifact.declared/1')
ORDER BY position;
