-- one row a digest that entered the ledger: observed (hashed) or declared (typed), and what its headers say
-- Ordered by position, which is unique.
CREATE VIEW artifacts AS
WITH described AS (
  SELECT command, payload->>'$.sha256' AS sha256, arg_min(payload, position) AS payload
  FROM entries WHERE type = 'artifact.described/1' GROUP BY ALL
)
SELECT
  a.position,
  make_timestamptz(a.time_us)                                  AS time,
  a.payload->>'$.role'                                         AS role,
  a.payload->>'$.sha256'                                       AS sha256,
  if(a.type = 'artifact.observed/1', 'observed', 'declared')   AS origin,
  a.payload->>'$.kind'                                         AS kind,   -- file or directory; NULL: declared
  a.payload->>'$.path'                                         AS path,
  TRY_CAST(a.payload->>'$.size' AS BIGINT)                     AS size,   -- bytes
  CASE a.payload->>'$.kind' WHEN 'file' THEN 1 WHEN 'directory' THEN json_array_length(a.payload, '$.files') END::BIGINT AS files,
  d.payload->>'$.format'                                       AS format, -- as its headers say, like all that follows
  TRY_CAST(d.payload->>'$.parameters' AS BIGINT)               AS parameters,
  coalesce(d.payload->>'$.architecture', d.payload->>'$.architecture_family') AS architecture,
  d.payload->>'$.base_model'                                   AS base_model,
  d.payload->>'$.license'                                      AS license,
  a.command                                                    AS command_id,
  lower(hex(a.hash))                                           AS hash
FROM entries AS a
LEFT JOIN described AS d ON d.command = a.command AND d.sha256 = (a.payload->>'$.sha256')
WHERE a.type IN ('artifact.observed/1', 'artifact.declared/1')
ORDER BY a.position;
